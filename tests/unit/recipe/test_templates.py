"""LLaMA-Factory's template names: known or not, and of the model's own family or not."""

from __future__ import annotations

import json

import pytest

from ringfence.core.errors import BadValue
from ringfence.models.folder import check_folder
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.templates import FAMILIES, NAMES, refuse_other, refuse_unknown

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"


def test_every_name_of_llama_factory_is_known():
    assert len(NAMES) >= 120
    for name in NAMES:
        refuse_unknown(name)
    assert "" not in {FAMILIES[name] for name in ("qwen3", "llama3", "mistral", "deepseek3", "gemma", "yi")}


@pytest.mark.parametrize(("name", "nearest"), [("qwen33", "qwen3"), ("lama3", "llama3"), ("no such thing at all", ""), (3, "")])
def test_an_unknown_name_is_refused_with_the_nearest_one(name, nearest):
    with pytest.raises(BadValue, match=f"did you mean {nearest}" if nearest else "Leave it out"):
        refuse_unknown(name)


@pytest.mark.parametrize("name", ["qwen", "qwen3", "smollm2", "yi", "qwen3_nothink"])
def test_a_template_of_the_same_family_will_do(name):
    refuse_other(name, CHATML, thinks=True)


def test_a_name_without_thoughts_is_refused_where_the_template_would_write_empty_ones():
    """LLaMA-Factory's `Template` of these names writes no thought; `ReasoningTemplate`, of the others, does."""
    hybrid = CHATML + "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
    with pytest.raises(BadValue, match="enable_thinking: false"):
        refuse_other("qwen3_nothink", hybrid, thinks=True)
    refuse_other("qwen3_nothink", hybrid, thinks=False)
    refuse_other("qwen3", hybrid, thinks=True)


def test_another_family_is_refused_and_told_apart_from_none():
    with pytest.raises(BadValue, match="not llama3's but of the family of chatml"):
        refuse_other("llama3", CHATML, thinks=True)
    with pytest.raises(BadValue, match=r"no chat template of its own.*or leave it out"):
        refuse_other("llama3", "", thinks=True)
    with pytest.raises(BadValue, match="not llama3's; leave"):
        refuse_other("llama3", "{{ messages }}", thinks=True)


def test_a_models_template_is_found_wherever_it_stands(tmp_path):
    folder = tmp_path / "model"
    write_tiny_model(folder)
    own = check_folder(folder).chat_template()
    assert "<|im_start|>" in own
    config = folder / "tokenizer_config.json"
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    for value, wanted in (
        (CHATML, CHATML),
        ([{"name": "tool", "template": "x"}, {"name": "default", "template": CHATML}], CHATML),
        (None, ""),
        (5, ""),
    ):
        config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": value}))
        assert check_folder(folder).chat_template() == wanted
    (folder / "chat_template.jinja").write_text("its own file")
    assert check_folder(folder).chat_template() == "its own file"
