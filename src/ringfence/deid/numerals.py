"""Chinese numerals, as they stand in dates, ages and addresses."""

from __future__ import annotations

_DIGITS = {
    character: value
    for value, characters in enumerate(("零〇○", "一壹", "二贰貳两", "三叁參", "四肆", "五伍", "六陆陸", "七柒", "八捌", "九玖"))
    for character in characters
}
_TENS = {"十": 10, "拾": 10, "廿": 20, "卅": 30}
NUMERALS = "".join(_DIGITS) + "".join(_TENS)
_HUNDRED = 100
ALTERNATIVES = "|".join(NUMERALS)  # for a pattern: a class of them would be one of bytes


def number(text: str) -> int | None:
    """Return the value of up to two places (`三`, `十二`, `廿五`, `三十一`), of digits one by one (`二〇二三`), or of ASCII digits; None if it is none."""
    if text.isascii():
        return int(text) if text.isdigit() else None
    if all(c in _DIGITS for c in text):
        return int("".join(str(_DIGITS[c]) for c in text))
    total, waiting = 0, None
    for character in text:
        if character in _TENS:
            total += (1 if waiting is None else waiting) * _TENS[character]
            waiting = None
        elif character in _DIGITS and waiting is None:
            waiting = _DIGITS[character]
        else:
            return None
    return total + (waiting or 0)


def written(value: int, *, like: str) -> str:
    """Return `value` (below 10,000) in the manner of `like`: digits one by one, with tens if it is below 100, or in ASCII with its leading zeros."""
    if like.isascii():
        return str(value).zfill(len(like))
    plain = "〇一二三四五六七八九"
    if value >= _HUNDRED or (all(c in _DIGITS for c in like) and (len(like) > 1 or value < 10)):  # noqa: PLR2004  one place
        return "".join(plain[int(d)] for d in str(value).zfill(len(like)))
    tens, ones = divmod(value, 10)
    return ("" if tens == 0 else "十" if tens == 1 else plain[tens] + "十") + (plain[ones] if ones or not tens else "")
