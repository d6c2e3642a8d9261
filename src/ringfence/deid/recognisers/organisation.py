"""Names of organisations by their legal form, and behind a key word in forms and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ringfence.deid import divisions
from ringfence.deid.draw import Draw
from ringfence.deid.named import ORGANISATION, STAND_INS
from ringfence.deid.recogniser import KEYWORDED, RECOGNISERS, SEPARATOR, SHAPE, Shaped, Span, cuts_a_word

_FORMS = "(?:股份)?有限(?:责任|責任)?公司|股份公司|集(?:团|團)公司|(?:律师|律師|会计师|會計師|税务师|公证|司法鉴定|专利代理)(?:事务所|事務所)|合伙企业|专业合作社"
_LATIN_FORMS = r"(?:Incorporated|Inc|Ltd|Limited|LLC|L\.L\.C|LLP|PLC|Corporation|Corp|GmbH|S\.A|B\.V|Pte\.? Ltd|Pty\.? Ltd|Co\.,? Ltd)\.?"
_COLON = "(?:：|:|=)"
_KEYS = "工作单位|單位名稱|单位名称|单位名|所在单位|用人单位|就职单位|任职单位|公司名称|公司名|公司名稱|企业名称|机构名称|雇主(?:名称)?|供应商名称|开户行|开户银行|委托单位|投保单位"
_LATIN_KEYS = (
    r"(?i:employer(?:[ _]name)?|company(?:[ _]name)?|organi[sz]ation(?:[ _]name)?|business[ _]name|firm[ _]name|name[ _]of[ _]employer)"
)
_FORM = re.compile(_FORMS)
_NAME = re.compile(r"[\u3400-\u9fffA-Za-z0-9&·（）()\-]+$")  # what may stand before a legal form
_LOOK, _LATIN_LOOK = 30, 60  # characters before it
_LONGEST = 14  # of a name whose beginning nothing tells
# Where a sentence ends and a name begins. Characters that names hold, too, count only in company.
_STOPS = re.compile(
    r"原告|被告|申请人|上诉人|第三人|委托人|甲方|乙方|丙方|担保人|债务人|债权人|出租人|承租人|客户|股东|担任|出任|子公司|母公司|(?:供应|经销|承包|承建|服务|开发|代理)商"
    r"|(?:就职|任职|供职|受雇|隶属|毕业)于?|(?:起诉|收购|控股|入股|设立|成立|注册|注销|代表|通过|转让)(?!资|人|的)|(?<=[司所行方人位])(?:和|为)"
    r"|(?:名称|更名|变更|系|作|成)为|在|于|於|与|與|及|向(?!阳|荣|上|日)|从|從|由|被|把|给|給|到|的|了|是|系|称|稱|、"
)
_COMMON = re.compile(  # what makes a legal form a common noun
    r"(?:(?:[这那该此]|[一二三四五六七八九十两几多]{1,2})(?:家|个|间|种|種)|国有|独资|合资|外资|中外合资|内资|普通|特殊|上市|股份|相关|关联|目标|其他|其它|任何|全部|所有|大型|小型|改制|组织形式|类型|性质|公司)*"
    r"(?:[本我你他她其该这那此各某旧新母子分总]|一人)?[\u3400-\u9fff]?"
)
_BRANCH = re.compile(r"[\u3400-\u9fff]{2,10}?分公司|(?:（|\()(?:有限|普通|特殊普通)合伙(?:）|\))")
_VALUE = re.compile(r"[\u3400-\u9fff][\u3400-\u9fffA-Za-z0-9&·（）()\-]{1,29}")
_LATIN_VALUE = re.compile(rf"[A-Z0-9][\w&'’.\-]*(?: (?:and |of |the |for |& )?[A-Z][\w&'’.\-]*){{0,5}}(?:, {_LATIN_FORMS}(?![A-Za-z]))?")
_LATIN_NAME = re.compile(r"(?:[A-Z0-9][\w&'’.\-]*,? (?:and |of |& |, )?){1,5}$")
_NONE = re.compile(
    r"无|無|不详|不詳|未知|暂无|同上|保密|退休|离休|在家|务农|農民|农民|自由|个体|学生|待业|失业|无业|同|已|见|详见|如|请|或|及|的|及其|名称"
)
_LATIN_NONE = frozenset(
    "None Unknown Retired Self Student Unemployed Homemaker See The N/A NA Not No Yes Same Policy Health Insurance Plan".split()
)
_LEAST = 2  # characters of a name before its form
_SOFT_ENDS = re.compile(r"(?:担任|任职|工作|上班|就职).*$")


@RECOGNISERS.add("organisation.v1")
class Organisation(Shaped):
    """What ends in a legal form, 华昌机械有限公司 or Veldyne Ltd, with what belongs before it; and what stands behind `工作单位：` or `Employer:`."""

    kinds = frozenset({ORGANISATION})
    example = "工作单位：华昌机械有限公司"
    pattern: ClassVar[str] = rf"{_FORMS}|(?:{_KEYS}) ?{_COLON}|{_LATIN_KEYS} ?{_COLON}|[A-Za-z0-9.'] ?,? {_LATIN_FORMS}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the name before the form or behind the key word."""
        if text[end - 1] in ":：=":
            return () if cuts_a_word(text, start) else _behind(text, end)
        if text[start].isascii():
            return _latin(text, start, end)
        first = _beginning(text, start)
        if first is None:
            return ()
        branch = _BRANCH.match(text, end)
        return (Span(first, branch.end() if branch else end, ORGANISATION, SHAPE),)

    def normalise(self, value: str) -> str:
        """Return the name in lower case, with single spaces."""
        return STAND_INS[ORGANISATION].normalise(value)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return a coined name that keeps the form."""
        return STAND_INS[ORGANISATION].surrogate(value, draw)


def _beginning(text: str, form: int) -> int | None:
    """Return where the name begins whose form stands at `form`; None where the form is a common noun."""
    run = _NAME.search(text, max(0, form - _LOOK), form)
    if run is None:
        return None
    first = run.start()
    for stop in _STOPS.finditer(text, first, form):
        first = stop.end()
    if _COMMON.fullmatch(text, first, form):
        return None
    while first < form and text[first] in "（()）·-&":
        first += 1
    place = next((at for at in range(first, form) if divisions.longest(text, at, form)), None)
    if place is not None and place - first <= 1:
        first = place
    elif form - first > _LONGEST:
        first = place if place is not None else form - _LONGEST
    return first if form - first >= _LEAST else None


def _behind(text: str, at: int) -> Sequence[Span]:
    while at < len(text) and text[at] == " ":
        at += 1
    if match := _VALUE.match(text, at):
        value = match[0]
        if form := _FORM.search(value):  # what stands behind it is another field
            branch = _BRANCH.match(value, form.end())
            value = value[: branch.end() if branch else form.end()]
        value = _SOFT_ENDS.sub("", value)
        if len(value) < _LEAST or _NONE.match(value):
            return ()
        return (Span(at, at + len(value), ORGANISATION, KEYWORDED),)
    match = _LATIN_VALUE.match(text, at)
    if match is None or match[0].split(" ")[0].rstrip(".,") in _LATIN_NONE or not any(c.isalpha() for c in match[0]):
        return ()
    value = match[0].rstrip(".,")
    return (Span(at, at + len(value), ORGANISATION, KEYWORDED),) if len(value) >= _LEAST else ()


def _latin(text: str, start: int, end: int) -> Sequence[Span]:
    """Return the name in Latin letters whose last character stands at `start`."""
    if cuts_a_word(text, end):
        return ()
    form = start + 1
    while text[form] in " ,":
        form += 1
    begin = max(text.rfind(SEPARATOR, 0, start) + 1, start - _LATIN_LOOK)
    name = _LATIN_NAME.search(text, begin, form)
    if name is None:
        return ()
    first = name.start()
    if cuts_a_word(text, first):
        first = text.find(" ", first, form) + 1 or form
    return (Span(first, end, ORGANISATION, SHAPE),) if form - first >= _LEAST else ()
