"""Whether a format answers like the adapter that it stands for. Child halves only: this module imports torch.

The adapter answers prompts that everybody may read; every other format reads the same answers and says, token by token, what it would have said.
Compared are the likeliest token and the whole distribution, as llama.cpp's `--kl-divergence` does for quantised models. No row of anybody is read, so
that the figures depend on the weights alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from ringfence.models.load import Loaded, ends_of
from ringfence.release.formats import Format, Parity

TOKENS = 32  # of an answer
PROMPTS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "List three fruits.",
    "Explain what a contract is.",
    "A patient has had a cough for three days. What should be done?",
    "Summarise: the meeting was moved from Monday to Thursday.",
    "Translate into Chinese: good morning.",
    "How do I open a bank account?",
    "法国的首都是哪里？",
    "请用一句话介绍长城。",
    "列出三种水果。",
    "什么是合同？",
    "患者咳嗽三天，应如何处理？",
    "请概括：会议从周一改到周四。",
    "翻译成英文：早上好。",
    "怎样开立银行账户？",
)


class Answered(NamedTuple):
    """What the adapter said to one prompt."""

    prompt: str  # as the chat template lays it out
    ids: list[int]  # of the prompt, as its tokeniser reads it
    answer: list[int]
    said: Tensor  # [answer, vocabulary] natural log probabilities, float32 on the CPU


def answers(loaded: Loaded) -> list[Answered]:
    """Return the adapter's greedy answers, of TOKENS tokens at most."""
    found = []
    for prompt in PROMPTS:
        text = loaded.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        ids = _ids(loaded.tokenizer, text)
        answer = _greedy(loaded, ids)
        found.append(Answered(text, ids, answer, _said(loaded.model, ids, answer)))
    return found


def compare(format_: Format, loaded: Loaded, reference: list[Answered]) -> Parity:
    """Return how much like the adapter a format answers. loaded: the format, as whoever gets it would load it."""
    same, tokens, divergence, reads_alike = 0, 0, 0.0, True
    for one in reference:
        reads_alike &= _ids(loaded.tokenizer, one.prompt) == one.ids
        said = _said(loaded.model, one.ids, one.answer)
        same += int((said.argmax(-1) == one.said.argmax(-1)).sum())
        divergence += float(kl_div(said, one.said, reduction="sum", log_target=True))
        tokens += len(one.answer)
    return Parity(format=format_, tokens=tokens, same=same, divergence=max(0.0, divergence / max(1, tokens)), same_ids=reads_alike)


def _ids(tokenizer: Any, text: str) -> list[int]:  # noqa: ANN401  transformers is untyped
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _greedy(loaded: Loaded, ids: list[int]) -> list[int]:
    prompt = torch.tensor([ids], device=loaded.model.device)
    with torch.inference_mode():
        output = loaded.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=ends_of(loaded),
            pad_token_id=loaded.tokenizer.eos_token_id,
        )
    return [int(token) for token in output[0, len(ids) :]]


def _said(model: Any, ids: list[int], answer: list[int]) -> Tensor:  # noqa: ANN401
    """Return the log probabilities of every token at each place of an answer [answer, vocabulary], float32 on the CPU."""
    whole = torch.tensor([ids + answer[:-1]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=whole).logits[0, len(ids) - 1 :]
        return log_softmax(logits.float(), dim=-1).cpu()
