"""`model.v1`: rebuild a folder of safetensors from one foreign file. The child half; runs in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.core.errors import ModelUnsupported
from ringfence.core.order import Child, Progress
from ringfence.models.settings import ModelFigures, ModelSettings

if TYPE_CHECKING:
    from torch import Tensor

# What a rebuilt configuration keeps; the GGUF reader's own leftovers (quantization_config, _name_or_path) are not among them.
_CONFIG = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
    "attention_bias",
    "attention_dropout",
    "mlp_bias",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


def run(child: Child[ModelSettings]) -> ModelFigures:
    """Write the model of `files["source"]` into `files["target"]` and return its sizes.

    Raises: ModelUnsupported.
    """
    made = {"lac": _lac, "e5": _e5, "gguf": _decoder}[child.order.settings.source]
    return made(child)


def _lac(child: Child[ModelSettings]) -> ModelFigures:
    from ringfence.models import lac

    child.channel.progress(Progress(done=0, total=1, phase="work"))
    weights = lac.convert(Path(child.order.files["source"]), Path(child.order.files["target"]))
    child.channel.progress(Progress(done=1, total=1, phase="work"))
    return ModelFigures(
        parameters=sum(tensor.size for tensor in weights.values()),
        tensors=len(weights),
        layers=lac.LAYERS,
        vocabulary=weights["embedding"].shape[0],
    )


def _e5(child: Child[ModelSettings]) -> ModelFigures:
    from ringfence.models import e5

    child.channel.progress(Progress(done=0, total=1, phase="work"))
    weights = e5.convert(Path(child.order.files["source"]), Path(child.order.files["target"]))
    child.channel.progress(Progress(done=1, total=1, phase="work"))
    return ModelFigures(
        parameters=sum(tensor.size for tensor in weights.values()),
        tensors=len(weights),
        layers=e5.layers(weights),
        vocabulary=weights["word"].shape[0],
    )


def _decoder(child: Child[ModelSettings]) -> ModelFigures:
    """Rebuild a decoder from GGUF.

    transformers dequantises but refuses to save the result, so a clean configuration and state are built.

    Raises: ModelUnsupported.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    source, target = Path(child.order.files["source"]), Path(child.order.files["target"])
    child.channel.progress(Progress(done=0, total=3, phase="load"))
    options: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **options)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **options)
    if model.config.model_type != "llama":
        raise ModelUnsupported(problem="only GGUF files of the llama family can be rebuilt")
    child.channel.progress(Progress(done=1, total=3, phase="work"))

    dtype = getattr(torch, child.order.settings.dtype)
    state = clean_state(model.state_dict(), tied=model.config.tie_word_embeddings, dtype=dtype)
    config = LlamaConfig(**{name: getattr(model.config, name) for name in _CONFIG})
    config.architectures, config.dtype = ["LlamaForCausalLM"], child.order.settings.dtype
    child.channel.progress(Progress(done=2, total=3, phase="write"))
    config.save_pretrained(target)
    tokenizer.save_pretrained(target)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    child.channel.progress(Progress(done=3, total=3, phase="write"))
    return ModelFigures(
        parameters=sum(tensor.numel() for tensor in state.values()),
        tensors=len(state),
        layers=config.num_hidden_layers,
        vocabulary=config.vocab_size,
    )


def clean_state(state: dict[str, Tensor], *, tied: bool, dtype: object) -> dict[str, Tensor]:
    """Return the weights to save: a tied head is left out, because it is the embedding."""
    return {name: tensor.detach().to(dtype).contiguous() for name, tensor in state.items() if not (tied and name == "lm_head.weight")}
