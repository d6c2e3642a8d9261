"""Several conversations answered by vLLM, which computes, while every token is chosen here. Child halves only: this module imports torch.

vLLM brings a paged cache, batches and kernels for LoRA. It runs in this process and is asked for the likeliest token; a processor of logits leaves it one token
a row, the one that `Answer` chose, as with ringfence's own engine: penalties, temperature, seed and replay guard are the same code, and no way past them is left.
Source: vLLM 0.32, vllm/v1/sample/logits_processor/interface.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ringfence.core.environment import use_vllm
from ringfence.models.load import Loaded, load_tokenizer, spoken_as
from ringfence.models.prelude import AS_IT_IS
from ringfence.serve.answer import Answer
from ringfence.serve.decode import Round, Voice
from ringfence.serve.filter import Filters
from ringfence.serve.settings import ACTIVE, RANKS
from ringfence.serve.wire import Ask, Said
from ringfence.train.adapter import CONFIG
from ringfence.train.device import Placement

_KEY = "ringfence"  # under which a request's parameters name the conversation
_CHUNK = 2048  # tokens of prompts that are read in one step; conversations that go on wait no longer than that
_BLOCK = 128  # tokens that the cache is parted into
_SHARE = 4  # of the machine's memory a quarter at most is the cache's


class Config(NamedTuple):
    """How large a model is, in the words of transformers."""

    max_position_embeddings: int
    vocab_size: int


class Shape(NamedTuple):
    """What an answer looks at of a model that lies elsewhere."""

    config: Config
    device: torch.device
    generation_config: Any  # of transformers


class Chooser:
    """Leaves vLLM one token for each row of a batch: the one that the row's answer chose.

    chosen: by conversation, what its answer chose last and vLLM did not hand over yet; None: nothing, and the answer's end was left to take.
    """

    def __init__(self, answers: Mapping[int, Answer]) -> None:
        self._answers = answers
        self._rows: dict[int, int] = {}  # row of the batch -> conversation
        self.chosen: dict[int, int | None] = {}

    def move(self, update: Any) -> None:  # noqa: ANN401  vLLM's BatchUpdate, in the order that it asks for
        """Keep the rows as vLLM rearranges them."""
        for row in update.removed:
            self._rows.pop(row, None)
        for row, parameters, _, _ in update.added:
            self._rows[row] = parameters.extra_args[_KEY]
        for one, other, direction in update.moved:
            held, swapped = self._rows.pop(one, None), self._rows.pop(other, None)
            if held is not None:
                self._rows[other] = held
            if swapped is not None and direction.name == "SWAP":
                self._rows[one] = swapped

    def leave_one(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits [rows, vocabulary] with one finite one a row.

        Raises: KeyError for a row that is no conversation's: nobody chose its token.
        """
        for row, values in enumerate(logits):
            id_ = self._rows[row]
            answer = self._answers[id_]
            token = self.chosen[id_] = answer.choose(values.float())
            values.fill_(-torch.inf)[answer.end if token is None else token] = 0.0
        return logits

    def taken(self, id_: int, token: int) -> int | None:
        """Return what the answer of a conversation chose, once vLLM says that it took that.

        Raises: RuntimeError where it took another, or one that nobody chose.
        """
        chosen = self.chosen.pop(id_, -1)
        if token != (self._answers[id_].end if chosen is None else chosen):
            raise RuntimeError("vLLM took a token that was not chosen here")
        return chosen


class PagedRound(Round):
    """The conversations that vLLM computes.

    engine: a `vllm.v1.engine.llm_engine.LLMEngine` whose processor is `chooser`, over `answers`.  adapters: by voice, its `LoRARequest`.
    parameters: makes the `SamplingParams` of these fields.
    """

    def __init__(
        self,
        engine: Any,  # noqa: ANN401  vLLM is untyped here
        voices: Sequence[Voice],
        filters: Filters | None,
        *,
        answers: dict[int, Answer],
        chooser: Chooser,
        adapters: Sequence[Any],
        parameters: Callable[..., Any],
    ) -> None:
        super().__init__(voices, filters)
        self._engine, self._answers, self._chooser, self._adapters, self._parameters = engine, answers, chooser, adapters, parameters

    def _begin(self, ask: Ask) -> None:
        loaded, guard = self._voices[ask.bundle]
        answer = self._answers[ask.id] = Answer(loaded, ask, self._filters, guard)
        prompt = {"prompt_token_ids": answer.prompt[0].tolist()}
        asked = self._parameters(max_tokens=answer.most, extra_args={_KEY: ask.id})
        self._engine.add_request(str(ask.id), prompt, asked, lora_request=self._adapters[ask.bundle])

    def _drop(self, id_: int) -> None:
        if self._answers.pop(id_, None) is not None:
            self._chooser.chosen.pop(id_, None)
            self._engine.abort_request([str(id_)])

    def _step(self) -> Iterator[Said]:
        for output in self._engine.step() if self._answers else ():
            id_ = int(output.request_id)
            for token in output.outputs[0].token_ids:
                yield self._answers[id_].take(self._chooser.taken(id_, token))


def opened(
    model: Path, bundles: Sequence[Path], placement: Placement, guards: Sequence[Any], filters: Filters | None = None, *, memory: int
) -> PagedRound:
    """Return vLLM over a base model with the adapters of bundles, which the host has verified.

    guards: of each bundle, or None.  memory: bytes that the engine may take, of which its cache gets a share at most.
    """
    use_vllm()
    from transformers import AutoConfig, GenerationConfig  # noqa: PLC0415
    from vllm.engine.arg_utils import EngineArgs  # noqa: PLC0415
    from vllm.lora.request import LoRARequest  # noqa: PLC0415
    from vllm.v1.engine.llm_engine import LLMEngine  # noqa: PLC0415

    _keep_inside()
    config = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    named = (model / "generation_config.json").is_file()
    ends = GenerationConfig.from_pretrained(model, local_files_only=True) if named else GenerationConfig.from_model_config(config)
    active = ACTIVE["vllm"]
    window, cache = _sizes(config, placement, active=active, memory=memory)
    shape = Shape(Config(window, int(config.vocab_size)), torch.device(placement.device), ends)
    tokenizers = [spoken_as(load_tokenizer(model, prelude=AS_IT_IS), one) for one in bundles]
    voices = [Voice(Loaded(shape, tokenizer), guard) for tokenizer, guard in zip(tokenizers, guards, strict=True)]
    answers: dict[int, Answer] = {}
    chooser = Chooser(answers)
    settings = EngineArgs(
        model=str(model),
        skip_tokenizer_init=True,
        trust_remote_code=False,
        load_format="safetensors",
        generation_config="vllm",
        dtype=placement.dtype,
        seed=0,
        enforce_eager=True,  # nothing is compiled: there is no compiler in a sandbox
        max_model_len=window,
        max_num_seqs=active,
        max_num_batched_tokens=max(_CHUNK, active),
        async_scheduling=False,  # a step begins once the last one's tokens are known
        enable_prefix_caching=False,  # else the time of an answer would tell what others had asked
        enable_lora=True,
        max_loras=len(bundles),
        max_lora_rank=max(_room(one) for one in bundles),
        kv_cache_memory_bytes=cache,
        logits_processors=[_processor(chooser)],
        disable_log_stats=True,
    )
    adapters = [LoRARequest(str(number), number, str(one)) for number, one in enumerate(bundles, start=1)]
    engine = LLMEngine.from_engine_args(settings)
    return PagedRound(engine, voices, filters, answers=answers, chooser=chooser, adapters=adapters, parameters=_parameters())


def _keep_inside() -> None:
    """Let vLLM find out in this process what it would ask a program, another process or what happens to be installed.

    The other process would run under an interpreter that looks for start-up files, and what it says would be unpickled.
    Source: vLLM 0.32, utils/cpu_resource_utils.py, model_executor/models/registry.py, v1/sample/logits_processor/__init__.py.
    """
    from vllm.model_executor.models import registry  # noqa: PLC0415
    from vllm.utils import cpu_resource_utils as machine  # noqa: PLC0415
    from vllm.v1.sample import logits_processor  # noqa: PLC0415

    for module, name, ours in (
        (machine, "_get_cpu_list", machine._synthesize_cpu_list),  # noqa: SLF001  a sandbox has no lscpu: what vLLM takes where that says nothing
        (registry, "_run_in_subprocess", lambda look: look()),
        (logits_processor, "_load_logitsprocs_plugins", list),  # none: one that is installed would choose before ours does
    ):
        getattr(module, name)  # a version that calls it otherwise is not opened
        setattr(module, name, ours)


def _processor(chooser: Chooser) -> type:
    """Return the class that vLLM makes its processor of: one process, one chooser."""
    from vllm.v1.sample.logits_processor import LogitsProcessor  # noqa: PLC0415

    class Processor(LogitsProcessor):  # type: ignore[misc]  # vLLM is untyped here
        def __init__(self, *_: object) -> None: ...

        def is_argmax_invariant(self) -> bool:
            return False  # greedy sampling must not skip it

        def update_state(self, batch_update: Any) -> None:  # noqa: ANN401
            if batch_update is not None:
                chooser.move(batch_update)

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            return chooser.leave_one(logits)

    return Processor


def _parameters() -> Callable[..., Any]:
    """Return what makes a request's parameters: vLLM takes the likeliest token, which is the only one left, as long as it is asked."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

    return partial(SamplingParams, temperature=0.0, ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA)


def _room(bundle: Path) -> int:
    """Return the least rank that room can be made for and that holds an adapter's."""
    rank = json.loads((bundle / CONFIG).read_bytes())["r"]
    return next(one for one in RANKS if one >= rank)


def _sizes(config: Any, placement: Placement, *, active: int, memory: int) -> tuple[int, int | None]:  # noqa: ANN401
    """Return the window in tokens and the bytes of the cache; None: vLLM takes what a GPU has left.

    The cache has room for all answers that run at once, or a share of the machine's memory where that is less; one whole window must fit.
    One block more is vLLM's own: it hands that one out to nobody.  Source: vLLM 0.32, v1/core/kv_cache_utils.py, "null block".
    """
    window = int(config.max_position_embeddings)
    if placement.device != "cpu":
        return window, None
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    numbers = 2 * int(config.num_hidden_layers * heads * width)  # keys and values of a token
    each = numbers * getattr(torch, placement.dtype).itemsize  # bytes
    cache = min(active * window * each, memory // _SHARE)
    return min(window, (cache // each // _BLOCK - 1) * _BLOCK), cache
