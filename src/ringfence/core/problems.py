"""What is wrong with a value, in the reader's language: pydantic speaks English only."""

from __future__ import annotations

from pydantic import ValidationError

from ringfence.core.text import Text

_WHOLE = Text("write a whole number", "请写整数")
_NUMBER = Text("write a number", "请写数字")
_TRUTH = Text("write true or false", "请写 true 或 false")
_WORDS = Text("write text", "请写文本")
_LIST = Text("write a list", "请写列表")
_MAPPING = Text("write a mapping", "请写映射")

_SENTENCES: dict[str, Text] = {  # by pydantic's error type; its context fills the placeholders
    "missing": Text("it is missing", "缺失"),
    "extra_forbidden": Text("it is unknown", "未知的键"),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "string_type": _WORDS,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "greater_than": Text("it must be more than {gt}", "必须大于 {gt}"),
    "greater_than_equal": Text("it must be {ge} or more", "不得小于 {ge}"),
    "less_than": Text("it must be less than {lt}", "必须小于 {lt}"),
    "less_than_equal": Text("it must be {le} or less", "不得大于 {le}"),
    "string_too_long": Text("it may have {max_length} characters at most", "至多 {max_length} 个字符"),
    "string_too_short": Text("it must have {min_length} characters at least", "至少 {min_length} 个字符"),
    "string_pattern_mismatch": Text("it must have the form {pattern}", "格式须为 {pattern}"),
    "too_long": Text("it may have {max_length} values at most", "至多 {max_length} 项"),
    "too_short": Text("it must have {min_length} values at least", "至少 {min_length} 项"),
    "literal_error": Text("choose one of {expected}", "请从 {expected} 中选择"),
}


def first_problem(cause: ValidationError) -> tuple[tuple[str, ...], str]:
    """Return where the first invalid value stands (the names that lead to it) and what is wrong with it; never the value."""
    found = cause.errors(include_input=False)[0]
    where = tuple(str(part) for part in found["loc"])
    context = {
        key: f"{value:g}" if isinstance(value, float) else str(value).replace(" or ", ", ") for key, value in found.get("ctx", {}).items()
    }
    sentence = _SENTENCES.get(found["type"])
    return where, sentence.show(None, **context) if sentence else found["msg"].removeprefix("Value error, ")
