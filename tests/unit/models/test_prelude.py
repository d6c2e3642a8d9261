"""What a run puts before a model's chat template: one place, whoever reads the template."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import ringfence
from ringfence.models.chat import answer_of, chat_of, render, speak
from ringfence.models.folder import PLAIN_TEMPLATE, check_folder
from ringfence.models.load import load_tokenizer, spoken_as
from ringfence.models.prelude import AS_IT_IS, Prelude, own
from ringfence.models.template import is_sandboxed
from ringfence.models.tiny import tiny_tokenizer, write_tiny_model

OWN_SYSTEM = (  # as SmolLM2's: it has a system message of its own
    "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}<|im_start|>system\nown words<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = (  # as Qwen3's
    "\n  {%- for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last and '</think>' not in m.content %}<think>\n\n</think>\n\n{% endif %}"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
TALK = (("user", "who?"), ("assistant", "me"), ("user", "sure?"), ("assistant", "yes"))
SCHEMA = '[{"type": "function", "function": {"name": "look"}}]'


def tokenizer(template, prelude=AS_IT_IS):
    made = tiny_tokenizer()
    made.chat_template = prelude.before(template)
    return made


def chat(*turns):
    return chat_of(*zip(*turns, strict=True))


@given(st.text(min_size=1, max_size=40))
def test_a_row_without_a_system_message_is_the_row_with_it(system):
    for template in (OWN_SYSTEM, THINKING):
        told = tokenizer(template, Prelude(system))
        assert speak(told, chat(*TALK)) == speak(tokenizer(template), chat(("system", system), *TALK))
        assert render(told, chat(("system", "mine"), *TALK)) == render(tokenizer(template), chat(("system", "mine"), *TALK))


def test_nothing_of_the_template_moves_without_need():
    assert AS_IT_IS.before(THINKING) == THINKING
    assert Prelude(None, thinks=False).before(OWN_SYSTEM) == OWN_SYSTEM  # it knows no thoughts
    assert own(Prelude("x", thinks=False).before(THINKING)) == THINKING
    assert is_sandboxed(Prelude("{{ 7 }}", thinks=False).before(THINKING))


def test_words_of_the_system_message_are_not_taken_for_what_the_template_knows():
    told = tokenizer(OWN_SYSTEM, Prelude("tools and tool_calls"))
    text = render(told, chat(("tools", SCHEMA), *TALK))
    assert text.startswith("<|im_start|>system\ntools and tool_calls\n\nTools:\n[{")
    assert render(tokenizer(OWN_SYSTEM), chat(("tools", SCHEMA), *TALK)).startswith("<|im_start|>system\nTools:\n[{")


def test_without_thoughts_the_question_holds_the_empty_one_and_the_answer_none():
    off = tokenizer(THINKING, Prelude(None, thinks=False))
    thought = "<think>\nhm\n</think>\n\nyes"
    for last in ("yes", thought):
        found = speak(off, chat(*TALK[:-1], ("assistant", last)))
        assert [found.text[start:stop] for start, stop in found.answers] == ["me<|im_end|>", "yes<|im_end|>"]
        assert found.text[: found.answers[-1][0]].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert answer_of(off, {"role": "assistant", "content": thought}) == "yes"
    assert answer_of(tokenizer(THINKING), {"role": "assistant", "content": thought}) == thought
    on = speak(tokenizer(THINKING), chat(*TALK))
    assert on.text[slice(*on.answers[-1])] == "<think>\n\n</think>\n\nyes<|im_end|>"  # it is learned


def test_it_stands_in_the_tokeniser_and_in_the_file_that_travels(tmp_path):
    folder, prelude = write_tiny_model(tmp_path / "model"), Prelude("Be brief.")
    model = check_folder(folder)._replace(prelude=prelude)
    assert model.written_files() == {"chat_template.jinja": load_tokenizer(folder, prelude).chat_template.encode()}
    assert '"Be brief."' in model.spoken_template()
    assert check_folder(folder).written_files() == {}  # its own files say it
    (folder / "chat_template.jinja").unlink()
    assert check_folder(folder).written_files() == {"chat_template.jinja": PLAIN_TEMPLATE.encode()}


@pytest.mark.parametrize(
    ("said", "loaders"), [("prelude", {"load", "load_tokenizer"}), ("quantised", {"load", "load_model"})], ids=["prelude", "quantised"]
)
def test_every_job_that_loads_a_model_says_with_what(said, loaders):
    calls = []
    for path in Path(ringfence.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            one.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "ringfence.models.load"
            for one in node.names
            if one.name in loaders
        }
        calls += [
            (f"{path.parent.name}/{path.name}", node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported
        ]
    assert len(calls) >= 6
    silent = {name for name, node in calls if not any(said in ast.unparse(one) for one in (*node.args, *node.keywords))}
    assert silent == ({"formats/job.py"} if said == "quantised" else set())  # which reads a merged folder back, as it is


def written_with(folder, templates):
    """A model whose tokeniser has these chat templates."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": templates}))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return folder


def with_several(folder):
    """A model that has a template of its own for tools."""
    return written_with(folder, [{"name": "default", "template": OWN_SYSTEM}, {"name": "tool_use", "template": OWN_SYSTEM + "{{ tools }}"}])


@pytest.mark.parametrize("name", ["default", "tool_use"])
def test_a_model_with_several_templates_has_it_before_each(tmp_path, name):
    folder, prelude = with_several(write_tiny_model(tmp_path / "model")), Prelude("Be brief.")
    told = load_tokenizer(folder, prelude).chat_template
    assert '"Be brief."' in told[name]
    model = check_folder(folder)._replace(prelude=prelude)
    assert model.spoken_templates() == told
    assert model.spoken_template() == told["default"]
    assert check_folder(folder).written_files() == {}


def test_all_of_them_travel(tmp_path):
    """What is made of the model is read by tools that know nothing of the run: a conversation with tools begins in it as in training, too."""
    folder, prelude = with_several(write_tiny_model(tmp_path / "model")), Prelude("Be brief.")
    files = check_folder(folder)._replace(prelude=prelude).written_files()
    assert files.keys() == {"tokenizer_config.json"}
    made = shutil.copytree(folder, tmp_path / "made")
    (made / "tokenizer_config.json").write_bytes(files["tokenizer_config.json"])
    stock, ours = AutoTokenizer.from_pretrained(made), load_tokenizer(folder, prelude)
    for tools in (None, json.loads(SCHEMA)):
        talks = [one.apply_chat_template([{"role": "user", "content": "who?"}], tools=tools, tokenize=False) for one in (stock, ours)]
        assert talks[0] == talks[1]
        assert talks[0].startswith("<|im_start|>system\nBe brief.<|im_end|>")
        assert ("look" in talks[0]) is (tools is not None)
    config = json.loads(files["tokenizer_config.json"])
    assert config | {"chat_template": None} == json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": None}


def test_templates_without_a_default_one_give_way_to_the_plain_one(tmp_path):
    """Training and release must read them alike."""
    folder = written_with(write_tiny_model(tmp_path / "model"), [{"name": "tool_use", "template": OWN_SYSTEM}])
    assert load_tokenizer(folder, Prelude()).chat_template == check_folder(folder).spoken_template() == PLAIN_TEMPLATE


def test_of_a_bundles_templates_what_is_none_is_passed_over(tmp_path):
    folder = written_with(write_tiny_model(tmp_path / "model"), [{"name": "default", "template": "x"}, {"name": "y"}, "z"])
    assert spoken_as(load_tokenizer(write_tiny_model(tmp_path / "base"), Prelude()), folder).chat_template == {"default": "x"}
