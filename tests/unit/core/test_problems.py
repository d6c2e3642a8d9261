"""What pydantic finds is said in both languages, and the value is never repeated."""

from __future__ import annotations

import string
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from ringfence.core import text
from ringfence.core.problems import _SENTENCES, first_problem
from ringfence.core.settings import Settings


class Inner(Settings):
    mode: Literal["allow", "refuse"] = "allow"


class Example(Settings):
    count: Annotated[int, Field(gt=0, le=9)] = 1
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    flag: bool = False
    name: Annotated[str, Field(min_length=2, max_length=4, pattern="^[a-z]+$")] = "ab"
    parts: tuple[str, ...] = ()
    inner: Inner = Inner()
    own: int = 0

    @field_validator("own")
    @classmethod
    def _own(cls, value):
        if value:
            raise ValueError("our own words")
        return value


WRONG = [
    ({"count": "secret"}, "count", "write a whole number", "请写整数"),
    ({"count": 0}, "count", "it must be more than 0", "必须大于 0"),
    ({"count": 10}, "count", "it must be 9 or less", "不得大于 9"),
    ({"share": "secret"}, "share", "write a number", "请写数字"),
    ({"share": float("nan")}, "share", "write a number", "请写数字"),
    ({"share": -1}, "share", "it must be 0 or more", "不得小于 0"),
    ({"share": 1}, "share", "it must be less than 1", "必须小于 1"),
    ({"flag": "secret"}, "flag", "write true or false", "请写 true 或 false"),
    ({"name": 5}, "name", "write text", "请写文本"),
    ({"name": "a"}, "name", "it must have 2 characters at least", "至少 2 个字符"),
    ({"name": "secret"}, "name", "it may have 4 characters at most", "至多 4 个字符"),
    ({"name": "A{x}"}, "name", "it must have the form ^[a-z]+$", "格式须为 ^[a-z]+$"),
    ({"parts": 5}, "parts", "write a list", "请写列表"),
    ({"inner": 5}, "inner", "write a mapping", "请写映射"),
    ({"inner": {"mode": "secret"}}, "inner.mode", "choose one of 'allow', 'refuse'", "请从 'allow', 'refuse' 中选择"),
    ({"other": 1}, "other", "it is unknown", "未知的键"),
    ({"own": 1}, "own", "our own words", "our own words"),
]


@pytest.mark.parametrize(("given", "where", "english", "chinese"), WRONG, ids=[where + str(n) for n, (_, where, _, _) in enumerate(WRONG)])
def test_each_mistake_has_its_sentence(given, where, english, chinese):
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(given)
    for language, problem in (("en", english), ("zh", chinese)):
        text.choose(language)
        assert first_problem(caught.value) == (tuple(where.split(".")), problem)


@pytest.mark.parametrize("sentence", _SENTENCES.values(), ids=_SENTENCES)
def test_both_languages_have_the_same_placeholders(sentence):
    english, chinese = ({name for _, name, _, _ in string.Formatter().parse(one) if name} for one in sentence)
    assert english == chinese
