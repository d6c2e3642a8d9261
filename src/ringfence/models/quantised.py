"""A base model whose linear layers are held in 4 or 8 bits. Child halves only: this module imports torch and bitsandbytes.

One base has one meaning: whatever the mode, the device and the precision that is computed in, a layer is x · wᵀ with w as it was quantised. Two things
that bitsandbytes does by itself are therefore left out. On processors with AVX-512 BF16 it packs the weights anew at the first answer without gradient,
computes in bfloat16 from then on and hands no gradient back. And of 8 bits it quantises what a layer reads as well, but the columns in which any row of the
batch is large: what a row is answered would depend on the other rows, which no promise of privacy bears.

Source: Dettmers et al. 2023 (arXiv:2305.14314) for 4 bits; Dettmers et al. 2022 (arXiv:2208.07339), section 2, for int8 by output.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from bitsandbytes.functional import int8_vectorwise_dequant
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from ringfence.models.settings import Quantisation


class _Int8(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """x · wᵀ + b; w is made when it is needed, and not kept in between."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        """Return [..., out] in the type of x. x: [..., in].  weight: [out, in] int8.  scale: [out], the largest of each row.  bias: [out]."""
        ctx.save_for_backward(weight, scale)
        return functional.linear(x, int8_vectorwise_dequant(weight, scale).to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None, None]:  # noqa: ANN401
        """Return the gradient of x. slope: [..., out]."""
        weight, scale = ctx.saved_tensors
        return slope @ int8_vectorwise_dequant(weight, scale).to(slope.dtype) if ctx.needs_input_grad[0] else None, None, None, None


def _int8(layer: Any, x: Tensor) -> Tensor:  # noqa: ANN401  bitsandbytes is untyped
    return cast("Tensor", _Int8.apply(x, layer.weight.data, layer.weight.SCB, layer.bias))


def open_quantised(folder: Path, quantised: Quantisation, *, dtype: torch.dtype, device: str, **options: Any) -> Any:  # noqa: ANN401
    """Return the model of a checked folder on a device, its linear layers quantised from the precision of the file, whatever `dtype` it is computed in.

    options: of `from_pretrained`.
    """
    config = BitsAndBytesConfig(
        load_in_4bit=quantised.bits == 4,  # noqa: PLR2004  bits
        load_in_8bit=quantised.bits == 8,  # noqa: PLR2004
        bnb_4bit_quant_type=quantised.kind,
        bnb_4bit_use_double_quant=quantised.double,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", quantization_config=config, device_map={"": device}, **options)
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            layer.weight.quant_state.dtype = dtype  # that w has on the way back, too
        elif isinstance(layer, Linear8bitLt):
            layer.forward = partial(_int8, layer)
    return model
