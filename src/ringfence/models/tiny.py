"""A real two-layer Llama of under a megabyte, for tests and drills: every code path of a large model, none of its seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tiny_tokenizer(words: Sequence[str] = (), *, end: str = _SPECIAL[2]) -> PreTrainedTokenizerFast:
    """Return a byte-level tokeniser that needs no file: 256 bytes, 3 special tokens, ChatML; each of the words, of ASCII letters, is a token of its own.

    end: the end token; base models have another than the one that closes an answer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(_SPECIAL) + sum(len(word) - 1 for word in words),
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([word for word in words for _ in range(2)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_SPECIAL[1], eos_token=end, pad_token=_SPECIAL[0], chat_template=_TEMPLATE
    )


def tiny_config(layers: int = 2, *, tokens: int = 256 + len(_SPECIAL), head: int = 16, end: int = 2) -> LlamaConfig:
    """Return the configuration: so many layers and tokens, hidden size 64, 4 heads of a width over 2 key-value heads, tied embeddings."""
    return LlamaConfig(
        vocab_size=tokens,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head,
        max_position_embeddings=512,
        initializer_range=0.2,  # embeddings this long let the tied head be certain, so that the model can learn a row by heart
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=end,
        pad_token_id=0,  # its embedding stays zero: it must not be the end token
    )


def write_tiny_model(
    folder: Path, seed: int = 0, *, layers: int = 2, words: Sequence[str] = (), head: int = 16, end: str = _SPECIAL[2]
) -> Path:
    """Write a model folder with random weights drawn from `seed` and return it. words, end: see `tiny_tokenizer`.  head: width of a head."""
    logging.disable_progress_bar()
    tokenizer = tiny_tokenizer(words, end=end)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(tiny_config(layers, tokens=len(tokenizer), head=head, end=tokenizer.eos_token_id))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
