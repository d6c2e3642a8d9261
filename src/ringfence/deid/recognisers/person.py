"""Names of persons behind a key word: in forms, tables and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ringfence.deid import people
from ringfence.deid.draw import Draw
from ringfence.deid.features import words_zh
from ringfence.deid.named import PERSON
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, Shaped, Span, cuts_a_word

_ROLE = (
    "患者|病人|受试者|产妇|家属|监护人|联系人|负责人|经办人|申请人|投保人|被保险人|受益人|法定代表人|法人代表|委托人|代理人|原告|被告|第三人|证人|当事人|客户|用户|员工|学生|收件人|收货人|"
    "寄件人|发件人|付款人|收款人|开户人|持卡人|户主|承租人|出租人|借款人|担保人|审核人|审批人|签字人|主治医师|主治医生|责任医师|经治医师|医师|医生|护士|手术者|术者|主刀|第一助手|一助|二助|助手|麻醉(?:医师|医生|师|者)|送检(?:医师|医生)|检查者|书写者|记录者|陪护人?|陪同人|报案人|嫌疑人|被害人|受害人|辩护人|审判长|审判员|书记员|陪审员|被执行人|执行人|业务员|客户经理|经手人|领用人|验收人|起草人|记录人|报告人|检验者|审核者|操作员"
)
_CHINESE = rf"(?:{_ROLE})?(?:姓名|姓 名|名字|称呼|签名|签字|户名|真实姓名)|(?:{_ROLE})"
_LATIN = (
    r"(?i:(?:full|first|last|given|family|middle|maiden|patient|customer|client|employee|student|contact|account[ _]?holder|cardholder|recipient|"
    r"sender|applicant|insured|beneficiary|guardian|doctor|physician|provider|signer|manager|user)[ _']{0,2}s?[ _]?name|surname|"
    r"patient|attending(?:[ _](?:physician|doctor))?|physician|surgeon|nurse|next[ _]of[ _]kin|emergency[ _]contact|account[ _]holder|cardholder|"
    r"signed[ _]by|prepared[ _]by|reviewed[ _]by|approved[ _]by|contact[ _]person|attn|name)"
)
_COLON = r"(?:：|:|=)"
_HAN = re.compile(
    r"[\u3400-\u9fff]{1,2} [\u3400-\u9fff]{1,2}(?: [\u3400-\u9fff])?(?![\u3400-\u9fff])|[\u3400-\u9fff]+(?:·[\u3400-\u9fff]+)*"
)
_ORGANISATION = re.compile(r"(?:公司|集团|银行|医院|大学|学院|学校|法院|中心|协会|委员会|事务所)$")
_WORD = r"[^\W\d_]++(?:['’-][^\W\d_]++)*+\.?"
_SURNAME_FIRST = re.compile(rf"{_WORD}, {_WORD}(?: [A-Z]\b\.?)?(?! [A-Za-z])")
_WORDS = re.compile(rf"{_WORD}(?: {_WORD}){{0,3}}")
_LONGEST_SHORT = 3  # letters of what is written with a dot inside a name
_AND = tuple("、,，/;；")  # between names in a row
_MOST_HAN = 4  # characters of a Chinese name without a dot
_NO_NAME = frozenset(
    "unknown none null nil na n/a tbd same self redacted anonymous the see and or not yes no male female is was has had with in on of to for".split()
)


@RECOGNISERS.add("person.v1")
class PersonBehindKeyWord(Shaped):
    """Behind `姓名：`, `联系人:`, `Patient name:` and the like, and in a column of such a name."""

    kinds = frozenset({PERSON})
    example = "患者姓名：张伟明"
    pattern: ClassVar[str] = rf"(?:{_CHINESE}) ?{_COLON}|{_LATIN} ?{_COLON}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the name behind the colon."""
        if cuts_a_word(text, start):
            return ()
        at = end
        while at < min(len(text), end + 3) and text[at] in " \"'　":
            at += 1
        if match := _HAN.match(text, at):
            return _listed(text, _chinese(match))
        match = _SURNAME_FIRST.match(text, at) or _WORDS.match(text, at)
        return _western(match) if match else ()

    def normalise(self, value: str) -> str:
        """Return the words of the name in lower case."""
        return people.normal(value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return another name of its script, length and titles."""
        return people.stand_in(value, draw)


def _listed(text: str, spans: Sequence[Span]) -> Sequence[Span]:
    """Return the names, and those that follow them in a row: 范春东、李明."""
    found = list(spans)
    while found and text[found[-1].end : found[-1].end + 1] in _AND and (match := _HAN.match(text, found[-1].end + 1)):
        more = _chinese(match)
        if not more or more[0].end != match.end() or not people.surname_of(match[0]):  # the sentence goes on
            break
        found += more
    return found


def _chinese(match: re.Match[str]) -> Sequence[Span]:
    value = match[0]
    if _ORGANISATION.search(value):
        return ()
    first, space, _ = value.partition(" ")
    if space and people.surname_of(first) != first:  # 詹琳 男: the next field; but 张 三
        value = first
    elif space or "·" in value:
        return (Span(match.start(), match.end(), PERSON, KEYWORDED),)
    surname = people.surname_of(value)
    longest = len(surname) + 2 if surname else _MOST_HAN
    if len(value) > longest:  # a sentence goes on behind the name, or it is no name
        if not surname or value[:2] in words_zh() or value[:3] in words_zh():
            return ()
        value = value[:longest]
    if len(value) < 2 or value in words_zh():  # noqa: PLR2004  a surname and a given name
        return ()
    return (Span(match.start(), match.start() + len(value), PERSON, KEYWORDED),)


def _western(match: re.Match[str]) -> Sequence[Span]:
    taken, is_lower = 0, match[0][0].islower()
    for word in re.finditer(r"[^\s,]+", match[0]):
        bare = word[0].rstrip(".")
        if bare.lower() in _NO_NAME or bare[0].islower() != is_lower:
            break
        taken = word.end()
        if bare != word[0] and len(bare) > _LONGEST_SHORT and bare.lower() not in people.TITLES_EN:  # a sentence ends here
            break
    value = match[0][:taken].rstrip(".,")
    return (Span(match.start(), match.start() + len(value), PERSON, KEYWORDED),) if len(value) > 1 else ()
