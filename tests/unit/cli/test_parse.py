"""Words of the command line become values, or an error that names the option."""

from __future__ import annotations

import pytest

from ringfence.cli.parse import override, settings, swept
from ringfence.core import text
from ringfence.core.errors import BadArgument
from ringfence.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("given", "value"),
    [("5", 5), ("1e-4", 1e-4), ("true", True), ("[q_proj, v_proj]", ["q_proj", "v_proj"]), ("null", None), ("a=b", "a=b")],
)
def test_a_value_is_read_as_a_recipe_would_read_it(given, value):
    assert override(f"some_key={given}", "train") == ("some_key", value)


BROKEN = [
    "[",
    "{a: 1, a: 2}",
    "2024-13-45",
    "0x_",
    '!!int ""',
    "!!bool x",
    "!!timestamp x",
    "!!python/name:os.system x",
    "\x00",
    "[" * 5000,
]


@pytest.mark.parametrize("value", BROKEN, ids=range(len(BROKEN)))
def test_a_value_that_is_no_yaml_is_the_users_mistake(value):
    with pytest.raises(BadArgument) as caught:
        override(f"lora_rank={value}", "train")
    assert caught.value.facts["option"] == "lora_rank"


@pytest.mark.parametrize("given", ["lora_rank", "LoRA=1", "=1", "a-b=1", "lora_rank=", "lora_rank= "])
def test_what_is_no_pair_is_refused(given):
    with pytest.raises(BadArgument) as caught:
        override(given, "train")
    assert caught.value.facts["option"] == given


@pytest.mark.parametrize(("language", "problem"), [("en", "it must be more than 0"), ("zh", "必须大于 0")])
def test_a_wrong_setting_is_named_in_the_readers_language(language, problem):
    text.choose(language)
    with pytest.raises(BadArgument) as caught:
        settings(TrainSettings, "train", lora_rank=-1)
    assert caught.value.facts | {"verb": ""} == {"option": "--lora-rank", "problem": problem, "verb": ""}


SWEPT = [
    ("privacy.epsilon=1,3, 8 ,none", "privacy.epsilon", [("1", 1), ("3", 3), ("8", 8), ("none", "none")]),
    ("learning_rate=1e-4,1e-3", "learning_rate", [("1e-4", 1e-4), ("1e-3", 1e-3)]),
    ("layers_to_transform=[1, 2],[3]", "layers_to_transform", [("[1, 2]", [1, 2]), ("[3]", [3])]),
    ('lora_target="q_proj,v_proj",all', "lora_target", [('"q_proj,v_proj"', "q_proj,v_proj"), ("all", "all")]),
    ("dataset=123456e78901,clinic", "dataset", [("123456e78901", "123456e78901"), ("clinic", "clinic")]),
]


@pytest.mark.parametrize(("given", "key", "values"), SWEPT, ids=[given for given, _, _ in SWEPT])
def test_the_values_of_a_sweep_are_read_as_a_recipe_would_read_them(given, key, values):
    assert swept(given, "train") == (key, values)


NO_SWEEP = ["seed", "seed=", "seed=1", "seed=[1,2]", "Seed=1,2", "a..b=1,2", ".a=1,2", "=1,2", "seed=1,,2", "seed=1],[2", "seed=[1,2"]
NO_SWEEP += ["seed=1,*x", "seed=1,0x_", "seed=1,!!python/name:os.system x", "seed=" + "[" * 5000]


@pytest.mark.parametrize("given", NO_SWEEP, ids=range(len(NO_SWEEP)))
def test_what_is_no_list_of_values_is_the_users_mistake(given):
    with pytest.raises(BadArgument) as caught:
        swept(given, "train")
    assert caught.value.facts["option"] in ("--sweep", "seed")
