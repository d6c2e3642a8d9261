"""The sets of a dataset_info.json against LLaMA-Factory's own loader: how many rows, their tokens, and which of these are learned.

Both sides write ChatML with one tokeniser, and the set of tools as Qwen2.5 is told of them. One difference is evened out: LLaMA-Factory also learns the
line break after an answer's end token, which here belongs to the next question and is left out after the last answer.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ringfence.core.errors import BadDatasetInfo
from ringfence.ingest.dataset_info import entries, source_of
from ringfence.models.load import load, load_tokenizer
from ringfence.models.tiny import tiny_tokenizer, write_tiny_model
from ringfence.recipe.keys import KEYS
from ringfence.train.data import encode, encode_judged, encode_pair, encode_whole_pair, read_corpus
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer
from tests.unit.ingest.ingest_tools import imported

SETS = Path(__file__).parents[3] / "shared" / "data" / "llamafactory"
STAGES = {  # set: the stage of LLaMA-Factory that reads it
    "identity": "sft",
    "alpaca_en_demo": "sft",
    "alpaca_zh_demo": "sft",
    "glaive_toolcall_en_demo": "sft",
    "dpo_en_demo": "rm",
    "dpo_zh_demo": "rm",
    "kto_en_demo": "kto",
    "wiki_demo": "pt",
    "c4_demo": "pt",
}
TOOLS = "glaive_toolcall_en_demo"
pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
of_its_sets = pytest.mark.skipif(not SETS.is_dir(), reason="this machine has no ../shared/data")


def records_of(name, sets=SETS):
    path, settings = source_of(sets, name, entries(sets)[name], skip_bad=True)
    given = settings.model_dump(exclude={"source"}, exclude_defaults=True)
    return imported(path.read_bytes(), name=path.name, **given)[0]


def ours(record, tokenizer):
    """Return a record as the other side writes its rows."""
    readers = {"preference": encode_pair, "feedback": encode_judged}
    row = readers[record.kind](record, tokenizer) if record.kind in readers else encode(record, tokenizer, TrainSettings())
    return {"sequences": [[one.ids.tolist(), one.learn.tolist()] for one in row.sequences], "liked": row.is_liked}


def as_ours(row, tokenizer):
    """Return a row of LLaMA-Factory without the line breaks that it learns after an end token; the first token is never predicted."""
    end = tokenizer.eos_token_id
    (line_break,) = tokenizer("\n").input_ids
    sequences = []
    for ids, learn in row["sequences"]:
        after = [False, *(pair == (end, line_break) for pair in pairwise(ids))]
        learned = [is_learned and not is_after for is_learned, is_after in zip(learn, after, strict=True)]
        learned[0] = False
        stop = len(ids) - after[-1]
        sequences.append([ids[:stop], learned[:stop]])
    return {**row, "sequences": sequences}


@of_its_sets
@pytest.mark.parametrize("end", ["<|im_end|>", "<|endoftext|>"], ids=["chat model", "base model"])
def test_rows_are_those_of_llamafactorys_loader(other_side, trl_templates, tmp_path, say, end):
    """A base model's own token ends its texts, where the other side is told of no template, and not its answers."""
    began = time.monotonic()
    folder, out = tmp_path / "model", tmp_path / "rows.json"
    tiny_tokenizer(end=end).save_pretrained(folder)
    tokenizer, qwen = load_tokenizer(folder), load_tokenizer(folder)
    templates = {name: "empty" if stage == "pt" else "qwen" if name == TOOLS else "chatml" for name, stage in STAGES.items()}
    sets = {name: (stage, templates[name]) for name, stage in STAGES.items()}
    other_side("llamafactory-venv", "llamafactory_side.py", model=folder, folder=tmp_path / "run", dataset_dir=SETS, sets=sets, out=out)
    qwen.chat_template = next(path.read_text() for path in trl_templates if path.name == "qwen2_5.jinja")
    theirs = json.loads(out.read_text())
    apart, counts = {}, {}
    for name, stage in STAGES.items():
        records = records_of(name)
        counts[name] = (len(records), len(theirs[name]))
        reading = qwen if name == TOOLS else tokenizer
        pairs = zip(records, theirs[name], strict=False)
        apart[name] = [at for at, (record, row) in enumerate(pairs) if ours(record, reading) != as_ours(row, tokenizer)]
        for record, row in zip(records, theirs[name], strict=True) if stage == "rm" else ():
            whole = encode_whole_pair(record, tokenizer)  # what a reward model reads, to the line break at which it is scored
            assert [one.ids.tolist() for one in whole.sequences] == [ids for ids, _ in row["sequences"]]
    rows = ", ".join(f"{name} {mine}" for name, (mine, _) in counts.items())
    say(f"rows: {rows}; {time.monotonic() - began:.0f} s")
    assert {name: mine for name, (mine, _) in counts.items()} == {name: other for name, (_, other) in counts.items()}
    assert not any(apart.values()), {name: (len(places), places[:5]) for name, places in apart.items() if places}


@of_its_sets
@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if stage == "rm"])
def test_its_demo_pairs_train_a_reward_model(name, tmp_path, say):
    model = load(write_tiny_model(tmp_path / "model"), dtype=torch.float32, device="cpu")
    settings = TrainSettings(objective="rm.v1", cutoff_len=512, per_device_train_batch_size=8, learning_rate=1e-3, max_steps=2)
    trainer = Trainer(model.model, settings, hints=RuntimeHints(), padding=0, device="cpu")
    corpus = read_corpus(records_of(name)[:24], lambda one: trainer.objective.read(one, model.tokenizer), cutoff=512)
    assert corpus.examples
    losses = [trainer.step(corpus.examples[:8], step=step, steps=2) for step in range(2)]
    say(f"{name}: {len(corpus.examples)} of 24 pairs within 512 tokens, loss {losses[0]:.4f}, {losses[1]:.4f}")
    assert losses[1] < losses[0]


SCHEMA = [{"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {"ward": {"type": "string"}}}}]
CALLED = {"name": "look", "arguments": {"ward": "三"}}
OPENAI = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "call",
}
CALLING = {  # set: the stage that reads it, its entry, its rows, how many LLaMA-Factory keeps
    "words and calls": (
        "sft",
        {"formatting": "openai", "columns": {"messages": "messages", "tools": "tools"}, "tags": OPENAI},
        [
            [("user", "a"), ("assistant", "Wait.", 1), ("tool", "4"), ("assistant", "4!")],
            [("user", "b"), ("assistant", "Wait.", 2), ("tool", "4"), ("tool", "5"), ("assistant", "Once more.", 1), ("tool", "6"), ("assistant", "6!")],
            [("user", "c"), ("assistant", "Wait.", 1)],
            [("user", "d"), ("assistant", "", 1), ("tool", "4"), ("assistant", "4!")],
            [("user", "e"), ("assistant", "Wait."), ("assistant", "", 1), ("tool", "4"), ("assistant", "4!")],
            [("user", "f"), ("assistant", "Wait.", 1), ("assistant", "4!")],
            [("user", "g"), ("assistant", "Hello.")],
        ],
        5,
    ),
    "compared calls": (
        "rm",
        {"formatting": "sharegpt", "ranking": True, "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}},
        [[("human", "a"), ("function_call", 1), ("gpt", "No.")], [("human", "b"), ("gpt", "No."), ("function_call", 1)], [("human", "c"), ("function_call", 1), ("function_call", 2)]],
        3,
    ),
    "judged calls": (
        "kto",
        {"formatting": "sharegpt", "columns": {"messages": "messages", "kto_tag": "ok", "tools": "tools"}},
        [[("human", "a"), ("function_call", 1)], [("human", "b"), ("gpt", "No.")]],
        2,
    ),
}  # fmt: skip


def message(role, said, calls=0):
    """One message in either form; calls: how many it makes."""
    if role == "function_call":
        return {"from": role, "value": json.dumps([CALLED] * said if said > 1 else CALLED, ensure_ascii=False)}
    if role in ("human", "gpt"):
        return {"from": role, "value": said}
    made = [{"type": "function", "function": CALLED}] * calls
    return {"role": role, "content": said, **({"tool_calls": made} if made else {})}


def calling(stage, turns):
    """One row of a set that calls."""
    told = [message(*one) for one in turns]
    tools = json.dumps(SCHEMA)
    if stage == "rm":
        return {"messages": told[:1], "chosen": told[1], "rejected": told[2], "tools": tools}
    return {"messages": told, "tools": tools} | ({"ok": turns[-1][0] == "gpt"} if stage == "kto" else {})


def test_rows_that_say_and_call_at_once_and_compared_calls_are_those_of_its_loader(other_side, trl_templates, tmp_path, say):
    """LLaMA-Factory drops the words that stand beside a call; without them the tokens are alike."""
    tokenizer, qwen = tiny_tokenizer(), tiny_tokenizer()
    qwen.chat_template = next(path.read_text() for path in trl_templates if path.name == "qwen2_5.jinja")
    folder, out = tmp_path / "model", tmp_path / "rows.json"
    tokenizer.save_pretrained(folder)
    info = {}
    for name, (stage, entry, rows, _) in CALLING.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([calling(stage, turns) for turns in rows]))
        info[name] = {"file_name": f"{name}.json", **entry}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    sets = {name: (stage, "qwen") for name, (stage, *_) in CALLING.items()}
    other_side("llamafactory-venv", "llamafactory_side.py", model=folder, folder=tmp_path / "run", dataset_dir=tmp_path, sets=sets, out=out)
    theirs = json.loads(out.read_text())
    for name, (*_, kept) in CALLING.items():
        records = records_of(name, tmp_path)
        assert (len(records), len(theirs[name])) == (kept, kept), name
        for record, row in zip(records, theirs[name], strict=True):
            assert ours(without_words(record), qwen) == as_ours(row, tokenizer), (name, record.texts)
            text = qwen.decode([token for token, is_learned in zip(*ours(record, qwen)["sequences"][0], strict=True) if is_learned])
            assert [text.count(one) for one in ("Wait.", "Once more.")] == [record.texts.count(one) for one in ("Wait.", "Once more.")]
    say(", ".join(f"{name} {kept}" for name, (*_, kept) in CALLING.items()))


def without_words(record):
    """Return a record without what is said beside a call."""
    said = list(zip(record.roles, record.texts, strict=True))
    kept = [one for one, after in zip(said, [*record.roles[1:], ""], strict=True) if (one[0], after) != ("assistant", "call")]
    return dataclasses.replace(record, roles=tuple(role for role, _ in kept), texts=tuple(text for _, text in kept))


@of_its_sets
def test_every_set_of_the_folder_is_compared():
    there = {name for name, entry in entries(SETS).items() if (SETS / entry.get("file_name", "-")).is_file()}
    assert there == STAGES.keys()
    for name in entries(SETS).keys() - there:
        with pytest.raises(BadDatasetInfo):
            source_of(SETS, name, entries(SETS)[name])


def test_every_argument_of_llamafactory_is_judged(llamafactory):
    names = set()
    for path in sorted((llamafactory / "hparams").glob("*_args.py")):
        classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
        names |= {field.target.id for one in classes for field in one.body if isinstance(field, ast.AnnAssign)}
    names = {name for name in names if not name.startswith("_")}
    assert len(names) > 200
    assert sorted(names - KEYS.keys()) == []
