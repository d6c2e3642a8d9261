"""Draws canaries: invented secrets and rows, each in or out of the training set by chance that nobody can repeat.

Names are made of random syllables, so that none is a person; digits are uniform. A secret is planted once or held out, exactly half of each; a row
tosses a fair coin of its own; a control secret is planted sixteen times, so that a run which learns anything shows it.

Source: Carlini et al. 2019 (arXiv:1802.08232) for secrets; Steinke et al. 2023 (arXiv:2305.08846) for the coins.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from ringfence.audit.settings import CONTROL_TIMES, CONTROLS, DIGITS, AuditSettings, Canary, Kind, Language, Register
from ringfence.core.records import Record

_ONSETS = "b br ch d dr f fl g gl h j k kl l m n p pl r s sk st t tr v w z".split()
_VOWELS = "a e i o u ai ea io ou".split()
_ENDS = "n r s x k l m th nt rk".split()
_SURNAMES = "吕闵佟鄂厉卞郏詹桑郜蔺仉佘晏冼沃逄呼"
_GIVEN = "岚屿漪珩翊棠霁昀沅璟莞骁煦筠澍婧彦瑾弈泓"
_CHARACTERS = "稻岳杉泽桥岭苑堤渡塬洲隰峪坪涧甸埠浦陂圩"

_TEMPLATES: dict[tuple[Kind, Language], tuple[str, str]] = {  # question, answer; {who} is unique, {code} unpredictable
    ("secret", "en"): ("Portal code of {who}", "{code}"),
    ("secret", "zh"): ("{who}的查询码", "{code}"),
    ("row", "en"): ("{who}: file reference?", "Status: closed | Ref: {code}"),
    ("row", "zh"): ("{who}：档案编号？", "状态：已结 | 编号：{code}"),
}


def draw(settings: AuditSettings, *, control: bool, chinese: float) -> Register:
    """Return a fresh register.

    control: add the positive control, for runs without differential privacy. chinese: share of canaries in Chinese, as in the set.
    """
    taken: set[str] = set()
    picked = set(_sample(2 * settings.secrets, settings.secrets))
    canaries = [_canary("secret", _language(chinese), taken, is_in=i in picked) for i in range(2 * settings.secrets)]
    canaries += [_canary("row", _language(chinese), taken, is_in=bool(secrets.randbits(1))) for _ in range(2 * settings.in_out)]
    if control:
        canaries += [_canary("control", _language(chinese), taken, is_in=True, times=CONTROL_TIMES) for _ in range(CONTROLS)]
    return Register(audit=settings, canaries=tuple(canaries))


def record_of(canary: Canary) -> Record:
    """Return a canary as a row: a unit of its own, in nobody's budget."""
    return Record(canary.id, canary.id, "0" * 32, "pair", ("user", "assistant"), (canary.prompt, canary.completion))


def pair_of(canary: Canary) -> Record:
    """Return a canary as two compared answers: its own, and the same one with another code."""
    roles, texts = ("user", "chosen", "rejected"), (canary.prompt, canary.completion, canary.rejected)
    return Record(canary.id, canary.id, "0" * 32, "preference", roles, texts)


def liked_of(canary: Canary) -> Record:
    """Return a canary as an answer that people liked."""
    return Record(canary.id, canary.id, "0" * 32, "feedback", ("user", "liked"), (canary.prompt, canary.completion))


def _code() -> str:
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def _canary(kind: Kind, language: Language, taken: set[str], *, is_in: bool, times: int = 1) -> Canary:
    question, answer = _TEMPLATES["row" if kind == "row" else "secret", language]
    code = other = _code()
    while other == code:
        other = _code()
    at = answer.index("{code}")
    who = _unique(language, taken)
    return Canary(
        id=secrets.token_hex(16),
        kind=kind,
        language=language,
        who=who,
        prompt=question.format(who=who),
        completion=answer.format(code=code),
        span=(at, at + DIGITS),
        is_in=is_in,
        other=other,
        times=times,
    )


def _unique(language: Language, taken: set[str]) -> str:
    while (name := _name(language)) in taken:
        pass
    taken.add(name)
    return name


def _name(language: Language) -> str:
    if language == "zh":
        person = secrets.choice(_SURNAMES) + secrets.choice(_GIVEN) + secrets.choice(_GIVEN)
        return person + secrets.choice(_CHARACTERS) + secrets.choice(_CHARACTERS)
    return f"{_word().title()} {_word().title()}"


def _word() -> str:
    return "".join(secrets.choice(_ONSETS) + secrets.choice(_VOWELS) for _ in range(2)) + secrets.choice(_ENDS)


def _language(chinese: float) -> Language:
    return "zh" if secrets.randbelow(1 << 30) < chinese * (1 << 30) else "en"


def _sample(count: int, chosen: int) -> Iterator[int]:
    """Yield `chosen` of `count` positions, every choice equally likely."""
    yield from secrets.SystemRandom().sample(range(count), chosen)
