"""What one question about a stand-in opens: one original, in a bounded number of spellings, or none."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from ringfence.core.order import Keys, Order
from ringfence.deid.reveal import Answer, _normal, answered, run
from ringfence.deid.settings import RevealSettings
from ringfence.jobs.frames import FRAME_LIMIT
from ringfence.vault.files import write_files
from tests.unit.train.train_parts import TENANT, Vault

NORMAL = _normal()


def asked(spans, *questions, tmp_path):
    """Ask about each of the questions in a span table of one line; return the answers and the figures."""
    vault = Vault(tmp_path)
    slot = vault.output("spans")
    line = {"id": "0" * 32, "spans": [{"instead": i, "kind": k, "original": o} for i, k, o in spans]}
    write_files(slot, vault.keys[slot.slot], {"spans.jsonl": json.dumps(line).encode() + b"\n"})
    waiting, said = iter(questions), []
    order = Order[RevealSettings](
        job="reveal.v1",
        run="reveal-0123456789ab",
        tenant=TENANT,
        settings=RevealSettings(ticket="A-1"),
        inputs={"spans": vault.as_input(slot)},
    )
    channel = SimpleNamespace(hear=lambda: next(waiting, None), say=said.append)
    figures = run(SimpleNamespace(order=order, keys=Keys(data=vault.keys), channel=channel))
    return [Answer.model_validate_json(text) for text in said], figures


def test_one_original_is_shown_and_several_are_only_counted(tmp_path):
    spans = [
        ("13912345678", "CN_MOBILE", "13800138000"),
        ("<API_KEY>", "API_KEY", "sk-one-000000"),
        ("<API_KEY>", "API_KEY", "sk-two-000000"),
    ]
    (one, many, none), figures = asked(spans, "13912345678", "<API_KEY>", "nobody", tmp_path=tmp_path)
    assert [(o.original, o.occurrences) for o in one.originals] == [("13800138000", 1)]
    assert (many.originals, many.different) == ((), 2)
    assert (none.originals, none.different) == ((), 0)
    assert (figures.asked, figures.revealed, figures.ambiguous) == (3, 1, 1)


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("CN_MOBILE", ["13800138000", "138-0013-8000", "１３８ ００１３ ８０００"]),
        ("EMAIL", ["Ada@Corp.internal", "ada@corp.internal"]),
        ("PERSON", ["Ada Lovelace", "ADA LOVELACE"]),
        ("TERM", ["Project Tianshu", "project tianshu"]),
        ("BADGE", ["bd 1234", "BD  1234"]),  # of a recogniser of the tenant's own
    ],
)
def test_spellings_of_one_original_are_one(kind, spellings):
    answer = answered(Counter({(kind, one): n for n, one in enumerate(spellings, 1)}), NORMAL)
    assert [one.original for one in answer.originals] == spellings[::-1]
    assert answer.different == 1


def test_a_child_that_names_originals_of_several_is_not_believed():
    one = {"kind": "EMAIL", "original": "a@b", "occurrences": 1}
    Answer.model_validate({"originals": [one], "different": 1})
    for different in (0, 2):
        with pytest.raises(ValidationError):
            Answer.model_validate({"originals": [one], "different": different})


def test_two_originals_of_one_kind_are_two():
    for kind in ("CN_MOBILE", "EMAIL", "PERSON", "TERM", "BADGE"):
        assert answered(Counter({(kind, "a1"): 5, (kind, "b2"): 1}), NORMAL) == Answer(different=2)


def test_an_answer_is_bounded_in_number_and_length_and_says_what_it_left_out():
    many = Counter({("CN_MOBILE", "-" * n + "13800138000"): 1 for n in range(50)})
    answer = answered(many, NORMAL)
    assert (len(answer.originals), answer.different, answer.left_out) == (20, 1, 30)
    long = Counter({("API_KEY", "k" * 30_000): 1})
    assert answered(long, NORMAL) == Answer(different=1, left_out=1)
    for character in ("\x01", "\U0001f600", '"'):
        answer = answered(Counter({("API_KEY", character * 20_000): 1}), NORMAL)
        assert len(answer.originals) == 1
        assert len(json.dumps({"type": "say", "text": answer.model_dump_json()})) < FRAME_LIMIT
