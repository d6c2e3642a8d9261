"""Answers given side by side are the answers that transformers gives alone, and no character is shown in halves."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringfence.models.load import PLAIN_TEMPLATE, load, load_tokenizer
from ringfence.models.tiny import tiny_tokenizer, write_tiny_model
from ringfence.serve.answer import Stops, Words, candidates
from ringfence.serve.decode import Round, Voice
from ringfence.serve.engine import as_it_stands, fitted
from ringfence.serve.wire import Ask, Orders, Turn

QUESTIONS = ("code?", "你好，请问？", "name? " * 20, "x")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.set_num_threads(1)
    return load(write_tiny_model(tmp_path_factory.mktemp("m") / "model"), dtype=torch.float32, device="cpu")


def ask(number, question, **changes):
    fields = {"max_tokens": 24, "temperature": 0} | changes
    return Ask(id=number, messages=(Turn(role="user", content=question),), **fields)


def answers(loaded, asks):
    """Every conversation begins one turn after the one before."""
    served, texts, last, turns = Round([Voice(loaded)]), {one.id: "" for one in asks}, {}, []
    waiting = list(asks)
    while waiting or len(last) < len(asks):
        said = served.turn(Orders(ask=waiting.pop(0) if waiting else None))
        turns.append([one.id for one in said])
        for one in said:
            texts[one.id] += one.text
            if one.finish:
                last[one.id] = one
        assert len(turns) < 2_000
    return texts, last, turns


def oracle(loaded, question, tokens):
    ids = fitted(loaded, [{"role": "user", "content": question}], room=512 - tokens)
    with torch.inference_mode():
        made = loaded.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=loaded.tokenizer.eos_token_id,
            pad_token_id=loaded.tokenizer.eos_token_id,
        )
    return loaded.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).removesuffix("\ufffd")


def test_greedy_answers_side_by_side_equal_those_of_generate(tiny):
    texts, last, turns = answers(tiny, [ask(n, question) for n, question in enumerate(QUESTIONS)])
    assert texts == {n: oracle(tiny, question, 24) for n, question in enumerate(QUESTIONS)}
    assert {one.finish for one in last.values()} == {"length"}
    assert {one.tokens for one in last.values()} == {24}
    assert any(len(set(ids)) > 2 for ids in turns)  # they advanced together


def test_a_seed_fixes_an_answer_whoever_runs_beside_it(tiny):
    one = ask(0, "code?", temperature=1.5, top_p=0.9, seed=5)
    other = ask(1, "name?", temperature=1.5, seed=6)
    alone, beside = answers(tiny, [one])[0][0], answers(tiny, [other, one])[0][0]
    assert alone == beside
    assert alone != answers(tiny, [one.model_copy(update={"seed": 8})])[0][0]


def test_a_cancelled_conversation_gets_no_more_tokens(tiny):
    served = Round([Voice(tiny)])
    served.turn(Orders(ask=ask(0, "a")))
    assert served.turn(Orders(cancel=(0,))) == ()
    assert served.tokens == 1


def test_a_prompt_longer_than_the_window_leaves_room_for_an_answer(tiny):
    _, last, _ = answers(tiny, [ask(0, "x" * 5_000, max_tokens=4_000)])
    assert last[0].prompt_tokens == 256
    assert last[0].tokens <= 256


def test_a_conversation_that_the_template_refuses_ends_alone(tiny):
    tokenizer = tiny.tokenizer
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('secret') }}"
    try:
        said = Round([Voice(tiny)]).turn(Orders(ask=ask(0, "a")))
    finally:
        tokenizer.chat_template = before
    assert [(one.finish, one.text) for one in said] == [("unfit", "")]


def test_a_text_goes_on_as_it_stands(tiny):
    texts, last, _ = answers(tiny, [Ask(id=0, prompt="code", max_tokens=24, temperature=0)])
    with torch.inference_mode():
        made = tiny.model.generate(as_it_stands(tiny, "code", room=9), do_sample=False, max_new_tokens=24, eos_token_id=2, pad_token_id=2)
    assert texts[0] == tiny.tokenizer.decode(made[0, 4:], skip_special_tokens=True).removesuffix("\ufffd")
    assert last[0].prompt_tokens == 4
    assert as_it_stands(tiny, "abcdef", room=2).tolist() == tiny.tokenizer("ef", return_tensors="pt").input_ids.tolist()


def test_a_text_of_which_the_tokeniser_leaves_nothing_ends_no_engine(tiny):
    tokenizer = type("Nothing", (), {"eos_token_id": 2, "__call__": lambda *_, **__: SimpleNamespace(input_ids=[])})()
    assert as_it_stands(tiny._replace(tokenizer=tokenizer), "\u200b", room=5).tolist() == [[2]]


# ── what of a conversation the window holds ───────────────────────────────────────────────────────────────────────────


def fitted_slowly(loaded, chat, *, room):
    """The rule as it reads: all is rendered again for each two turns that go."""
    first = next((at for at, turn in enumerate(chat) if turn["role"] != "system"), len(chat))
    system, turns = list(chat[:first]), list(chat[first:])
    while True:
        text = loaded.tokenizer.apply_chat_template(system + turns, tokenize=False, add_generation_prompt=True)
        ids = loaded.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        if ids.shape[1] <= room or len(turns) <= 2:
            return ids[:, -max(1, room) :].to(loaded.model.device)
        turns = turns[2:]


SHORT = st.text(max_size=12) | st.sampled_from(["", "<|im_end|>", "x" * 90, "高血压" * 9])
TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), SHORT), min_size=1, max_size=14)


@pytest.mark.parametrize("template", [None, PLAIN_TEMPLATE], ids=["its own", "plain"])
@settings(max_examples=300)
@given(turns=TURNS, room=st.integers(-3, 400))
@example(turns=[("system", "be brief")], room=3)
@example(turns=[("system", "x" * 50)] + [("user", "y")] * 9, room=40)
def test_the_turns_that_stay_are_those_of_the_slow_rule(tiny, template, turns, room):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template or tokenizer.chat_template
    loaded = tiny._replace(tokenizer=tokenizer)
    chat = [{"role": role, "content": content} for role, content in turns]
    assert fitted(loaded, chat, room=room).tolist() == fitted_slowly(loaded, chat, room=room).tolist()


class Counted:
    """A tokenizer that counts what it is given to do."""

    def __init__(self, tokenizer):
        self._tokenizer, self.tokens, self.renders = tokenizer, 0, 0

    def __call__(self, text, **how):
        made = self._tokenizer(text, **how)
        self.tokens += torch.as_tensor(made.input_ids).numel()
        return made

    def apply_chat_template(self, chat, **how):
        self.renders += 1
        return self._tokenizer.apply_chat_template(chat, **how)


@pytest.mark.parametrize(
    ("size", "room", "tokens", "renders"),
    [(370, 4_000, 9_000, 1), (370, 256, 2_000, 1), (20, 4_000, 40_000, 9), (0, 256, 9_000, 9), (0, 12_000, 12_000, 1)],
)
def test_a_thousand_turns_cost_about_what_the_window_holds(tiny, size, room, tokens, renders):
    counted = Counted(tiny.tokenizer)
    chat = [{"role": ("user", "assistant")[at % 2], "content": "x" * size} for at in range(999)]
    ids = fitted(SimpleNamespace(tokenizer=counted, model=tiny.model), chat, room=room)
    assert ids.shape[1] <= room
    assert counted.tokens <= tokens
    assert counted.renders <= renders


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["高血压 412, naïve 🦠🧪!", "plain"])
def test_no_character_is_shown_before_its_last_byte(tiny, text):
    words = Words(tiny.tokenizer)
    pieces = [words.add(token) for token in tiny.tokenizer(text, add_special_tokens=False).input_ids]
    assert "".join(pieces) == text
    assert all(piece in {"", *text} for piece in pieces)


def test_bytes_that_are_no_text_come_out_as_the_whole_decoder_shows_them(tiny):
    drawn = random.Random(3)
    for _ in range(50):
        ids = [drawn.randrange(3, 259) for _ in range(30)]
        words = Words(tiny.tokenizer)
        assert "".join(words.add(one) for one in ids) == tiny.tokenizer.decode(ids).removesuffix("\ufffd")


def test_a_stop_sequence_in_pieces_is_withheld_whole():
    stops = Stops(["END", "\n\n"])
    assert [stops.add(piece) for piece in ("a E", "N", "x\n", "b EN", "D c")] == [
        ("a ", False),
        ("", False),
        ("ENx", False),
        ("\nb ", False),
        ("", True),
    ]
    stops.add("so E")
    assert stops.rest() == "E"


def test_the_answer_ends_before_a_stop_sequence(tiny):
    whole = answers(tiny, [ask(0, "code?")])[0][0]
    middle = whole[8:10]
    texts, last, _ = answers(tiny, [ask(0, "code?", stop=(middle,))])
    assert texts[0] == whole[: whole.index(middle)]
    assert last[0].finish == "stop"


# ── drawing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(count=4_000, **how):
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    random_ = torch.Generator().manual_seed(1)
    return (
        torch.bincount(torch.tensor([next(candidates(logits.clone(), random=random_, **how)) for _ in range(count)]), minlength=4) / count
    )


def test_tokens_are_drawn_as_their_probabilities_say():
    assert drawn(temperature=1, top_p=1).tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    assert drawn(temperature=0, top_p=1).tolist() == [1, 0, 0, 0]
    assert drawn(temperature=0.5, top_p=1).tolist() == pytest.approx([0.685, 0.247, 0.062, 0.007], abs=0.03)


def test_top_p_keeps_the_least_set_that_holds_so_much():
    assert drawn(temperature=1, top_p=0.7).tolist() == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert drawn(temperature=1, top_p=0.01).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("least", [1e-3, 1e-37, 1e-40, 5e-324])
def test_the_least_temperature_and_top_p_take_the_likeliest_token(least):
    """float32 holds neither: what they made of the logits was no number, and the draw ended the engine with every answer."""
    logits = torch.tensor([-3e36, 40.0, 3e36, 0.0])
    for how in ({"temperature": least, "top_p": 1}, {"temperature": 1, "top_p": least}, {"temperature": least, "top_p": least}):
        assert next(candidates(logits.clone(), random=torch.Generator().manual_seed(1), **how)) == 2
        assert drawn(count=50, **how | {"temperature": min(how["temperature"], 0.01)}).tolist() == [1, 0, 0, 0]


def test_a_tokeniser_of_another_kind_keeps_its_spaces(tmp_path):
    """Decoders in the manner of SentencePiece drop the space before a first word."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"▁one": 0, "▁two": 1, "▁three": 2, "</s>": 3, "?": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(tmp_path)
    words = Words(load_tokenizer(tmp_path))
    assert "".join(words.add(token) for token in (0, 1, 2)) == "one two three"
