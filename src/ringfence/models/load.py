"""Opening a base model. Child halves only: this module imports torch."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ringfence.core.errors import ModelUnsupported
from ringfence.models.chat import closing, text_end
from ringfence.models.folder import DEFAULT, PLAIN_TEMPLATE, templates_of
from ringfence.models.prelude import AS_IT_IS, TEMPLATE, Prelude
from ringfence.models.settings import Quantisation

Attention = Literal["auto", "eager", "sdpa"]
_SHORT = 256  # tokens; up to this length the plain attention has the faster backward on a CPU (benchmarks/train_step.py)


class Loaded(NamedTuple):
    """A model and its tokeniser, on one device, in evaluation mode, with every weight frozen."""

    model: Any
    tokenizer: Any


def choose_attention(wanted: Attention, *, device: str, longest: int) -> Literal["eager", "sdpa"]:
    """Return the faster attention for rows of up to `longest` tokens."""
    if wanted != "auto":
        return wanted
    return "eager" if device == "cpu" and longest <= _SHORT else "sdpa"


def load_tokenizer(folder: Path, prelude: Prelude = AS_IT_IS) -> Any:  # noqa: ANN401  transformers is untyped
    """Return the tokeniser of a model folder, always with a chat template, after the prelude, and an end token: the one that closes an answer.

    Raises: ModelUnsupported.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.eos_token_id is None:
        raise ModelUnsupported(problem="its tokeniser has no end token")
    own = tokenizer.chat_template
    if isinstance(own, dict) and DEFAULT in own:  # some models have one of their own for tools
        tokenizer.chat_template = {name: prelude.before(one) for name, one in own.items()}
    else:
        tokenizer.chat_template = prelude.before(own if isinstance(own, str) and own else PLAIN_TEMPLATE)
    if (end := closing(tokenizer)) != tokenizer.eos_token:
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # rows are filled up as they would be anyway
        tokenizer.eos_token = end
    return tokenizer


def closing_of(tokenizer: Any) -> int | None:  # noqa: ANN401
    """Return the token that closes an answer; None: what ends a text does."""
    return None if tokenizer.eos_token == text_end(tokenizer) else int(tokenizer.eos_token_id)


def ends_of(loaded: Loaded) -> list[int]:
    """Return the tokens of which each ends what a model says, sorted: what closes an answer, what ends a text, and those that its own files name.

    Of the model only its `generation_config` is looked at.
    """
    tokenizer, named = loaded.tokenizer, loaded.model.generation_config.eos_token_id
    known = [named] if isinstance(named, int) else named or []
    return sorted({tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(text_end(tokenizer)), *known})


def spoken_as(tokenizer: Any, bundle: Path) -> Any:  # noqa: ANN401  transformers is untyped
    """Return the tokeniser with the chat templates that a bundle brings, where it does: by which its run was trained."""
    if templates := _templates(bundle):
        tokenizer.chat_template = templates
    return tokenizer


def _templates(bundle: Path) -> str | dict[str, str] | None:
    """Return the chat template of a bundle, or all of several by their names; None where its tokeniser is the base's own in this."""
    if (bundle / TEMPLATE).is_file():
        return (bundle / TEMPLATE).read_text(encoding="utf-8")
    path = bundle / "tokenizer_config.json"
    found = json.loads(path.read_bytes()) if path.is_file() else {}
    return templates_of(found) if isinstance(found.get("chat_template"), list) else None


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: str,
    attention: Literal["eager", "sdpa"] = "sdpa",
    quantised: Quantisation | None = None,
) -> Any:  # noqa: ANN401
    """Return the model of a checked folder, frozen and in evaluation mode: safetensors only, no remote code, no download.

    dtype: that it is computed in. quantised: how its linear layers are held; None: in `dtype`, too.
    """
    logging.disable_progress_bar()
    options: dict[str, Any] = {
        "attn_implementation": attention,
        "use_safetensors": True,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    if quantised is None:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options).to(device)
    else:
        from ringfence.models.quantised import open_quantised  # noqa: PLC0415  of an extra

        model = open_quantised(folder, quantised, dtype=dtype, device=device, **options)
    model.requires_grad_(requires_grad=False)
    model.eval()
    return model


def load(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: str,
    attention: Literal["eager", "sdpa"] = "sdpa",
    prelude: Prelude = AS_IT_IS,
    quantised: Quantisation | None = None,
) -> Loaded:
    """Return model and tokeniser of a checked folder. prelude: see `load_tokenizer`.  quantised: see `load_model`.

    Raises: ModelUnsupported.
    """
    model = load_model(folder, dtype=dtype, device=device, attention=attention, quantised=quantised)
    return Loaded(model, load_tokenizer(folder, prelude))


def beside(loaded: Loaded) -> Loaded:
    """Return the model once more: layers of its own over the very same weights, and a tokeniser of its own, so that each can carry another adapter."""
    weights = {id(one): one for one in (*loaded.model.parameters(), *loaded.model.buffers())}
    return Loaded(copy.deepcopy(loaded.model, weights), copy.deepcopy(loaded.tokenizer))


def numbers(weight: Tensor) -> int:
    """Return how many numbers a weight stands for: of 4 bits two lie in a byte."""
    state = getattr(weight, "quant_state", None)
    return int(weight.numel() if state is None else state.shape.numel())


def dequantised(model: Any) -> Any:  # noqa: ANN401
    """Return a quantised model, frozen, with ordinary layers of the same values, in float32."""
    return model.dequantize(torch.float32).requires_grad_(requires_grad=False)
