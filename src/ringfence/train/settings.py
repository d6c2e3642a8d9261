"""Settings and figures of `train.v1` and `price.v1`: pydantic only, both halves import it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ringfence.core.order import Count, Figures, Number, Series
from ringfence.core.settings import Name, PartName, Settings
from ringfence.core.text import t
from ringfence.models.prelude import Prelude
from ringfence.models.settings import Quantisation
from ringfence.privacy.plan import DPPlan

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16"]
Steps = Annotated[tuple[Count, ...], Field(max_length=10_000)]
Target = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]  # the last part of a linear layer's name, or "all"

DRAWN = ("grpo.v1", "rloo.v1")  # objectives that learn from answers that the model itself draws, through TRL
WHOLE_METHODS = ("full.v1", "freeze.v1")  # methods that train the base's own weights
_OF_LORA = ("lora_freeze_a", "use_rslora", "loraplus_lr_ratio")

Schedule = Literal[
    "linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt"
]
LR_END = 1e-7  # that a polynomial ends at, as in transformers
Shape = Literal["num_cycles", "min_lr", "min_lr_rate", "power", "lr_end", "timescale"]
SHAPES: Mapping[str, frozenset[Shape]] = {  # what lr_scheduler_kwargs of a schedule may hold
    "cosine": frozenset({"num_cycles"}),
    "cosine_with_restarts": frozenset({"num_cycles"}),
    "cosine_with_min_lr": frozenset({"num_cycles", "min_lr", "min_lr_rate"}),
    "polynomial": frozenset({"power", "lr_end"}),
    "inverse_sqrt": frozenset({"timescale"}),
}

OF_ROWS = ("sft.v1", "pt.v1")  # objectives that read a row as one sequence
_OF_FEEDBACK = ("kto.v1", "apo-zero-unpaired.v1")
_OF_REWARDS = ("rm.v1",)  # objectives that learn to score texts
_OF_PAIRS = (
    *_OF_REWARDS,
    "dpo.v1",
    "hinge.v1",
    "ipo.v1",
    "apo-zero.v1",
    "orpo.v1",
    "simpo.v1",
)  # a test compares it with the parts: the host loads none


class Cut(Settings):
    """Which rows of the sets a run learns from, and which it only evaluates. Ordinary runs only: a plan counts the units of whole sets."""

    most: Positive | None = None  # rows of each set, its first ones
    is_mixed: bool = False  # of several sets no more than drawing from them takes until one has ended
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()  # of the draws, one of each set; none: they take turns
    held_out: Annotated[float, Field(ge=0)] = 0.0  # of all that is left: below 1 a share, else a number of rows
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 42  # that draws from sets with shares, and the units whose rows are held out

    @property
    def is_whole(self) -> bool:
        """Return whether all rows are learned from."""
        return self.most is None and not self.held_out and not self.is_mixed

    def rows_held_out(self, rows: int) -> int:
        """Return how many of so many rows are to be held out: all rows of a unit go together, so that a few less may be."""
        return math.ceil(rows * self.held_out) if self.held_out < 1 else int(self.held_out)

    @property
    def of_evaluation(self) -> Cut:
        """Return what is taken of sets that are only evaluated: of them, too, the first rows."""
        return Cut(most=self.most)

    @model_validator(mode="after")
    def _counts_rows(self) -> Self:
        if self.held_out > 1 and self.held_out != int(self.held_out):
            raise ValueError(t("val_size is a share below 1, or a whole number of rows", "val_size 须为小于 1 的比例，或整数行数"))
        return self

    @model_validator(mode="after")
    def _shares_are_all(self) -> Self:
        if self.shares and not math.isclose(sum(self.shares), 1.0, abs_tol=1e-8):
            raise ValueError(t("interleave_probs add up to 1", "interleave_probs 之和须为 1"))
        return self


WHOLE = Cut()


class JoinSettings(Settings):
    """What `join.v1` is told: the sets that become one, by the names that people gave them, and what is taken of them."""

    names: Annotated[tuple[Name, ...], Field(min_length=1)]
    cut: Cut = WHOLE


class JoinFigures(Figures):
    """How large a joined set is, and what is held out of it."""

    rows: Count
    held_out: Count = 0

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the numbers of rows: they follow from those of the sets, and from units that a seed drew."""
        return frozenset({"rows", "held_out"})


class DrawnSettings(Settings):
    """How answers are drawn and what they are worth, where a model learns from its own. Names are TRL's, and so are the defaults of GRPO."""

    reward: Annotated[tuple[PartName, ...], Field(max_length=16)] = ()
    reward_weights: Annotated[tuple[float, ...], Field(max_length=16)] | None = None  # None: 1 each
    num_generations: Annotated[int, Field(ge=2, le=1024)] = 8  # answers to one question, which are compared with each other
    max_completion_length: Positive = 512  # tokens of an answer
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: of all tokens
    beta: Annotated[float, Field(ge=0)] = 0.0  # what it costs to leave the base
    num_iterations: Positive = 1  # updates from the same answers
    epsilon: Annotated[float, Field(gt=0)] = 0.2  # how far one of them may change how likely an answer is; the first is never bounded by it
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dapo"  # of grpo.v1: what the losses of tokens are divided by

    @model_validator(mode="after")
    def _weighs_each(self) -> Self:
        if not self.reward:
            raise ValueError(t("reward names at least one reward", "reward 至少须写一个奖励"))
        if len(set(self.reward)) != len(self.reward):
            raise ValueError(t("reward holds each name once", "reward 中每个名称只能出现一次"))
        if self.reward_weights is not None and len(self.reward_weights) != len(self.reward):
            raise ValueError(t("reward_weights has one number for each reward", "reward_weights 须为每个奖励各写一个数"))
        return self


class TrainSettings(Settings):
    """What is learned: everything that decides the adapter. Names and defaults are LLaMA-Factory's; digested into the evidence."""

    method: PartName = "lora.v1"
    objective: PartName = "sft.v1"
    lora_rank: Annotated[int, Field(gt=0, le=1024)] = 8
    lora_alpha: Positive | None = None  # None: twice the rank
    lora_dropout: Share = 0.0
    lora_freeze_a: bool = False  # FFA-LoRA (arXiv:2403.12313): learn B alone
    use_rslora: bool = False  # the scale is alpha / √rank (arXiv:2312.03732)
    loraplus_lr_ratio: Annotated[float, Field(gt=0)] | None = None  # LoRA+ (arXiv:2402.12354): B learns at so many times the rate
    pissa_iter: Annotated[int, Field(ge=-1, le=1000)] = 16  # of pissa.v1: subspace iterations; -1: exact singular values
    lora_target: Annotated[tuple[Target, ...], Field(min_length=1)] = ("all",)
    quantization_bit: Literal[4, 8] | None = None  # of the frozen base (QLoRA, arXiv:2305.14314); None: it is held as it is computed with
    quantization_type: Literal["nf4", "fp4"] = "nf4"  # of 4 bits
    double_quantization: bool = True  # of 4 bits
    layers_to_transform: tuple[Annotated[int, Field(ge=0)], ...] | None = None  # None: every layer
    oft_block_size: Annotated[int, Field(ge=0, le=4096)] = 32  # of oft.v1: inputs that are rotated together
    oft_rank: Annotated[int, Field(ge=0, le=4096)] = 0  # or blocks of a layer; one of the two is 0
    oft_target: Annotated[tuple[Target, ...], Field(min_length=1)] = ("all",)
    module_dropout: Share = 0.0  # of oft.v1
    freeze_trainable_layers: int = 2  # of freeze.v1: the last ones; below zero: the first ones
    freeze_trainable_modules: Annotated[tuple[Target, ...], Field(min_length=1)] = ("all",)  # in them
    freeze_extra_modules: tuple[Target, ...] = ()  # and outside of all layers
    use_galore: bool = False  # of full.v1 and freeze.v1: AdamW on projected gradients (GaLore, arXiv:2403.03507)
    galore_rank: Annotated[int, Field(gt=0, le=4096)] = 16  # directions that are kept
    galore_target: Annotated[tuple[Target, ...], Field(min_length=1)] = ("all",)
    galore_update_interval: Positive = 200  # steps after which the directions are found anew
    galore_scale: Annotated[float, Field(gt=0)] = 2.0  # of what is projected back
    galore_proj_type: Literal["std", "reverse_std", "right", "left", "full"] = "std"
    cutoff_len: Annotated[int, Field(ge=2)] = 2048  # tokens of a row
    pref_beta: Annotated[float, Field(gt=0)] = 0.1  # of objectives over two answers: how far the model may go from what it was
    pref_ftx: Annotated[float, Field(ge=0)] = 0.0  # the share of supervised fine-tuning on preferred answers
    dpo_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # preferences that are taken for swapped
    kto_chosen_weight: Annotated[float, Field(ge=0)] = 1.0  # of answers that people liked
    kto_rejected_weight: Annotated[float, Field(ge=0)] = 1.0
    simpo_gamma: Annotated[float, Field(ge=0)] = 0.5  # the margin of simpo
    train_on_prompt: bool = False
    mask_history: bool = False  # learn the last answer only
    default_system: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None  # the system message of rows that have none
    enable_thinking: bool = True  # False: no thought comes before an answer, where the model's template knows of thoughts
    per_device_train_batch_size: Positive = 8
    gradient_accumulation_steps: Positive = 1
    optim: Literal["adamw_torch", "sgd"] = "adamw_torch"
    momentum: Share = 0.0  # of sgd
    learning_rate: Annotated[float, Field(gt=0)] | None = 5e-5  # None: of sgd under privacy, what its noise bears (train/private.py)
    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    max_steps: Positive | None = None  # wins over num_train_epochs
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    lr_scheduler_type: Schedule = "linear"
    lr_scheduler_kwargs: Mapping[Shape, Annotated[float, Field(ge=0)]] = {}
    warmup_ratio: Share = 0.0
    warmup_steps: Annotated[float, Field(ge=0)] = 0.0  # below 1: a share of all steps. Wins over warmup_ratio
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    neftune_noise_alpha: Annotated[float, Field(gt=0)] | None = None  # NEFTune (arXiv:2310.05914): noise on embeddings, in training alone
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0  # 0: no clipping
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 42
    save_steps: Annotated[int, Field(ge=0)] = 0  # 0: a checkpoint only when asked to stop
    logging_steps: Positive = 1
    eval: bool = False  # loss on the "evaluation" input, before and after
    eval_strategy: Literal["no", "steps", "epoch"] = "no"  # and on the way
    eval_steps: Positive | None = None  # of strategy "steps"; None: logging_steps
    eval_delay: Annotated[float, Field(ge=0)] = 0.0  # steps, or epochs of strategy "epoch", before the first evaluation on the way
    load_best_model_at_end: bool = False  # of all evaluations on the way, that with the least loss
    drawn: DrawnSettings | None = None  # of grpo.v1 and rloo.v1
    early_stopping_steps: Positive | None = None  # evaluations in a row without a new least loss, after which a run ends

    @property
    def alpha(self) -> int:
        """Return the numerator of the scale, alpha / rank or alpha / √rank."""
        return self.lora_alpha or 2 * self.lora_rank

    @property
    def is_whole(self) -> bool:
        """Return whether the base's own weights are trained, so that what leaves is a model and not an adapter."""
        return self.method in WHOLE_METHODS

    @property
    def quantised(self) -> Quantisation | None:
        """Return how the base is held, in training and wherever the adapter is met again; None: as it is computed with."""
        return quantised_in(dict(self))

    @property
    def is_reward(self) -> bool:
        """Return whether what is trained scores texts and writes none: a head of its own is learned beside the adapter."""
        return self.objective in _OF_REWARDS

    @property
    def most_tokens(self) -> int:
        """Return the tokens of a row whose answer is read: of a run that draws its answers, `cutoff_len` is of the question alone."""
        return self.cutoff_len + (self.drawn.max_completion_length if self.drawn else 0)

    @property
    def saved(self) -> Self:
        """Return the settings of the adapter as it is saved and loaded: PiSSA leaves plain LoRA of twice the rank, at the same scale alpha / rank."""
        if self.method != "pissa.v1":
            return self
        return self.model_copy(update={"method": "lora.v1", "lora_rank": 2 * self.lora_rank, "lora_alpha": 2 * self.alpha})

    @property
    def reads(self) -> Literal["any", "preference", "feedback"]:
        """Return the kind of rows that the objective learns from."""
        return "preference" if self.objective in _OF_PAIRS else "feedback" if self.objective in _OF_FEEDBACK else "any"

    @property
    def prelude(self) -> Prelude:
        """Return what stands before the model's chat template, in training and wherever the run is used."""
        return Prelude(self.default_system, self.enable_thinking)

    @property
    def is_chosen(self) -> bool:
        """Return whether evaluated rows decide which weights are kept, so that these are a function of them, too."""
        return chosen_in(dict(self))

    @property
    def batch(self) -> int:
        """Return the rows of one step; where answers are drawn, the questions that they answer."""
        sequences = self.per_device_train_batch_size * self.gradient_accumulation_steps
        return sequences // self.drawn.num_generations if self.drawn else sequences

    @property
    def updates(self) -> int:
        """Return how many steps read the same rows, one after the other."""
        return self.drawn.num_iterations if self.drawn else 1

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        for names in (self.lora_target, self.layers_to_transform or ()):
            if len(set(names)) != len(names):
                raise ValueError(
                    t("lora_target and layers_to_transform hold each value once", "lora_target 与 layers_to_transform 中每个值只能出现一次")
                )
        if "all" in self.lora_target and len(self.lora_target) > 1:
            raise ValueError(t("lora_target is all, or a list of names", "lora_target 须为 all 或名称列表"))
        return self

    @model_validator(mode="after")
    def _draws_whole_groups(self) -> Self:
        if (self.drawn is not None) != (self.objective in DRAWN):
            raise ValueError(t("rewards belong to stage: grpo and rloo, which need them", "奖励属于 stage: grpo 与 rloo，二者均需要"))
        if self.drawn and (self.per_device_train_batch_size * self.gradient_accumulation_steps) % self.drawn.num_generations:
            raise ValueError(
                t(
                    "per_device_train_batch_size × gradient_accumulation_steps counts answers, and must be a multiple of num_generations",
                    "per_device_train_batch_size × gradient_accumulation_steps 计的是回答数，须为 num_generations 的倍数",
                )
            )
        return self

    @model_validator(mode="after")
    def _has_no_adapter(self) -> Self:
        unknown = (*_OF_LORA, "layers_to_transform") if self.is_whole else _OF_LORA if self.method == "oft.v1" else ()
        if asked := [key for key in unknown if getattr(self, key)]:
            raise ValueError(t("{key} needs finetuning_type: lora", "{key} 需要 finetuning_type: lora", key=asked[0]))
        if bool(self.oft_rank) == bool(self.oft_block_size):
            raise ValueError(t("oft_block_size or oft_rank is 0, and not both", "oft_block_size 与 oft_rank 之一为 0，且不同时为 0"))
        if not self.freeze_trainable_layers:
            raise ValueError(t("freeze_trainable_layers is not 0", "freeze_trainable_layers 不能为 0"))
        return self

    @model_validator(mode="after")
    def _leaves_the_base_alone(self) -> Self:
        if self.quantization_bit and self.is_whole:
            raise ValueError(
                t(
                    "quantization_bit needs finetuning_type: lora or oft; weights of 4 or 8 bits are too coarse to be trained themselves",
                    "quantization_bit 需要 finetuning_type: lora 或 oft；4 位或 8 位的权重过于粗糙，无法直接训练",
                )
            )
        if self.quantization_bit and self.method == "pissa.v1":
            raise ValueError(
                t(
                    "pissa_init does not go with quantization_bit: it takes a part out of weights that are frozen in 4 or 8 bits",
                    "pissa_init 不能与 quantization_bit 同用：它要从已冻结为 4 位或 8 位的权重中取出一部分",
                )
            )
        return self

    @model_validator(mode="after")
    def _projects_whole_gradients(self) -> Self:
        if self.use_galore and not self.is_whole:
            raise ValueError(
                t(
                    "use_galore needs finetuning_type: full or freeze; the gradients of an adapter are thin already",
                    "use_galore 需要 finetuning_type: full 或 freeze；适配器的梯度本就很小",
                )
            )
        if self.use_galore and self.optim != "adamw_torch":
            raise ValueError(t("use_galore needs optim: adamw_torch", "use_galore 需要 optim: adamw_torch"))
        return self

    @model_validator(mode="after")
    def _scores_beside_the_base(self) -> Self:
        if self.is_reward and self.is_whole:
            problem = "stage: rm trains a head and an adapter beside the base; write finetuning_type: lora or oft"
            raise ValueError(t(problem, "stage: rm 在基础模型之旁训练打分头与适配器；请写 finetuning_type: lora 或 oft"))
        return self

    @model_validator(mode="after")
    def _begins_in_one_way(self) -> Self:
        if self.method == "pissa.v1" and (self.use_rslora or self.lora_freeze_a or self.pissa_iter == 0):
            raise ValueError(
                t(
                    "pissa_init goes with neither use_rslora nor lora_freeze_a, and pissa_iter is -1 or above 0",
                    "pissa_init 不能与 use_rslora 或 lora_freeze_a 同用，pissa_iter 须为 -1 或大于 0",
                )
            )
        return self

    @model_validator(mode="after")
    def _looks_before_it_chooses(self) -> Self:
        if self.eval_strategy != "no" and not self.eval:
            raise ValueError(t("eval_strategy needs eval_dataset or val_size", "eval_strategy 需要 eval_dataset 或 val_size"))
        if self.is_chosen and self.eval_strategy == "no":
            raise ValueError(
                t(
                    "load_best_model_at_end and early_stopping_steps need eval_strategy: steps or epoch",
                    "load_best_model_at_end 与 early_stopping_steps 需要 eval_strategy: steps 或 epoch",
                )
            )
        return self

    @model_validator(mode="after")
    def _knows_its_shape(self) -> Self:
        shape, known = self.lr_scheduler_kwargs, SHAPES.get(self.lr_scheduler_type, frozenset())
        if other := sorted(shape.keys() - known):
            told = {"key": other[0], "kind": self.lr_scheduler_type, "known": ", ".join(sorted(known)) or "-"}
            raise ValueError(t("{kind} has no {key}; it may have: {known}", "{kind} 没有 {key}；可用：{known}", **told))
        if self.lr_scheduler_type == "cosine_with_min_lr" and ("min_lr" in shape) == ("min_lr_rate" in shape):
            raise ValueError(t("it needs min_lr or min_lr_rate, one of the two", "需要 min_lr 或 min_lr_rate，二者取一"))
        lowest = max((shape[key] for key in ("min_lr", "lr_end") if key in shape), default=0.0)
        if self.learning_rate is not None and self.lr_scheduler_type == "polynomial":
            lowest = lowest or LR_END
        if lowest and (self.learning_rate is None or lowest >= self.learning_rate):
            raise ValueError(t("the rate that it ends at must be below learning_rate", "其终止学习率必须低于 learning_rate"))
        if not all(shape.get(key, 1.0) for key in ("power", "timescale")) or shape.get("min_lr_rate", 0.0) >= 1:
            raise ValueError(t("power and timescale are above 0, min_lr_rate below 1", "power 与 timescale 须大于 0，min_lr_rate 须小于 1"))
        return self

    @model_validator(mode="after")
    def _is_open_for_sgd_alone(self) -> Self:
        if self.learning_rate is None and self.optim != "sgd":
            raise ValueError(t("learning_rate is needed by adamw_torch", "adamw_torch 需要 learning_rate"))
        return self


def quantised_in(train: Mapping[str, Any]) -> Quantisation | None:
    """Return how the base is held under the settings of a training, as they were written down by whichever version; None: as it is computed with."""
    if not (bits := train.get("quantization_bit")):
        return None
    if bits == 8:  # noqa: PLR2004  bits, of which there is one kind
        return Quantisation(bits=bits)
    return Quantisation(bits=bits, kind=train.get("quantization_type", "nf4"), double=train.get("double_quantization", True))


def chosen_in(train: Mapping[str, Any]) -> bool:
    """Return whether evaluated rows decide which weights are kept under the settings of a training, as they were written down by whichever version."""
    return bool(train.get("load_best_model_at_end") or train.get("early_stopping_steps"))


class RuntimeHints(Settings):
    """Speed and memory only: no field here changes what is learned, up to rounding and, with `lora_dropout`, to what is dropped."""

    micro_batch: Positive | None = None  # rows at once, where no row's loss depends on those beside it; None: per_device_train_batch_size
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive | None = None  # of all processes together; None: the order's limit
    processes: Annotated[int, Field(gt=0, le=64)] | None = None  # that share a run; None: one for each GPU, or one
    shard: bool = False  # each of several processes holds a part of the frozen base, and gathers a layer while it computes it
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    packing: bool = False  # rows of a step go through the model as one sequence, in which none reads another
    pad_multiple: Positive | None = None  # tokens; None: 16 in bfloat16, 1 in float32
    checkpointing: bool = False  # of activations: they are computed again on the way back, for a third more time and a part of the memory
    head_chunk: Positive = 128  # answer positions whose logits exist at one time


class TrainOrder(Settings):
    """The settings of one run; with a plan, one under differential privacy."""

    train: TrainSettings = TrainSettings()
    plan: DPPlan | None = None
    hints: RuntimeHints = RuntimeHints()

    @model_validator(mode="after")
    def _no_public_masks(self) -> Self:
        # Masks follow from the public seed and a row's place among the others: leaving one unit out would change everybody's gradient.
        if self.plan is not None and self.train.lora_dropout:
            raise ValueError(t("lora_dropout must be 0 under privacy", "隐私运行的 lora_dropout 必须为 0"))
        if self.plan is not None and self.train.neftune_noise_alpha:
            raise ValueError(t("neftune_noise_alpha is not offered under privacy", "隐私运行不提供 neftune_noise_alpha"))
        return self

    @model_validator(mode="after")
    def _packs_what_is_summed(self) -> Self:
        # A private pass tells rows apart by their place in the batch; kto compares with the mean of a pass, and NEFTune draws by its length.
        if self.hints.packing and (self.plan is not None or self.train.objective not in OF_ROWS or self.train.neftune_noise_alpha):
            raise ValueError(
                t(
                    "packing is for stage pt and sft, without privacy and neftune_noise_alpha",
                    "packing 只用于 stage: pt 与 sft，且不与 privacy 或 neftune_noise_alpha 同用",
                )
            )
        return self

    @model_validator(mode="after")
    def _shares_out_what_is_frozen(self) -> Self:
        if not self.hints.shard:
            return self
        if self.train.is_whole:
            raise ValueError(
                t(
                    "--shard divides a frozen base, and finetuning_type: full and freeze train it: leave --shard out, or write finetuning_type: lora",
                    "--shard 拆分冻结的基础模型，而 finetuning_type: full 与 freeze 会训练它：请去掉 --shard，或写 finetuning_type: lora",
                )
            )
        if self.train.quantization_bit == 8:  # noqa: PLR2004  bits: bitsandbytes keeps their scales on the weight that is divided, those of 4 on the layer
            raise ValueError(
                t(
                    "parts of weights in 8 bits lose their scales: leave --shard out, or write quantization_bit: 4",
                    "8 位权重拆分后会失去其缩放系数：请去掉 --shard，或写 quantization_bit: 4",
                )
            )
        if self.train.drawn:
            raise ValueError(t("grpo and rloo run in one process: leave --shard out", "grpo 与 rloo 只在单个进程中运行：请去掉 --shard"))
        return self

    @model_validator(mode="after")
    def _no_choice_by_rows(self) -> Self:
        if self.plan is not None and self.train.is_chosen:
            raise ValueError(
                t(
                    "load_best_model_at_end and early_stopping_steps are not offered under privacy",
                    "隐私运行不提供 load_best_model_at_end 与 early_stopping_steps",
                )
            )
        return self

    @model_validator(mode="after")
    def _no_groups_of_answers(self) -> Self:
        if self.plan is not None and self.train.drawn:
            raise ValueError(t("grpo and rloo are not offered under privacy", "隐私运行不提供 grpo 与 rloo"))
        return self

    @model_validator(mode="after")
    def _no_length_of_a_sum(self) -> Self:
        if self.plan is not None and self.train.method == "dora.v1":
            raise ValueError(t("use_dora is not offered under privacy", "隐私运行不提供 use_dora"))
        if self.plan is not None and self.train.method == "oft.v1":
            raise ValueError(t("finetuning_type: oft is not offered under privacy", "隐私运行不提供 finetuning_type: oft"))
        return self


class PriceOrder(TrainOrder):
    """A run to be priced: `to_plant` canaries are not in its set yet."""

    to_plant: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    cut: Cut = WHOLE  # nor are its sets joined and cut


class TrainFigures(Figures):
    """What a run did. Losses come from real rows and are sealed."""

    steps: Count  # updates of the weights
    rows: Count  # rows with an answer, in the set
    dropped: Count  # rows without an answer within cutoff_len
    truncated: Count
    tokens_cut: Count = 0  # after cutoff_len, of the rows that were cut
    longest: Count = 0  # tokens of the longest row, or question where answers are drawn; 0 in runs of before it was told
    tokens: Count  # read in all steps, padding left out
    losses: Series  # mean loss per answer token, every `losses_every` steps
    losses_every: Count
    loss_first: Number | None = None  # None: a private run whose draws were all empty
    loss_last: Number | None = None
    eval_before: Number | None = None
    eval_after: Number | None = None
    eval_error: Number | None = None  # standard error of eval_after over the units of its rows; None: not measured, or a single unit
    eval_rows: Count = 0
    eval_units: Count = 0  # whose rows they are
    rewards: Series = ()  # of drawn answers: their mean worth, every `losses_every` steps
    rewards_last: Series = ()  # the mean of each reward in the last of them, in the order of the recipe
    kls: Series = ()  # how far the model is from the base, a token, where that costs something
    answer_tokens: Series = ()  # the mean length of an answer
    eval_losses: Series = ()  # on the way, after the steps of
    eval_at: Steps = ()
    best_step: Count | None = None  # whose weights were kept: those of the least loss on the way
    resumed_from: Count | None = None
    trainable: Count  # weights of the adapter
    closing: Count | None = None  # the token that closes an answer; None: the tokeniser's own end token, or a run of before it was told
    learning_rate: Number | None = None  # the highest; None in runs of before it was told
    seconds_load: Number
    seconds_per_step: Number
    seconds_clip: Number = 0.0  # of all steps: per-unit norms and sums
    seconds_noise: Number = 0.0  # of all steps
    seconds: Number  # from the start of the process
    peak_memory: Count  # bytes, of all processes
    peak_gpu_memory: Count = 0  # bytes, of the fullest GPU
    processes: Count = 1  # that shared the run
    device: Device
    dtype: Dtype

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the fields that say how the run went, not what its rows are like."""
        return frozenset({"steps", "resumed_from", "trainable", "closing", "learning_rate", "processes", "device", "dtype"})


class PriceFigures(Figures):
    """What a run would cost."""

    seconds: Number  # the whole child: start, load, steps, evaluation, write
    seconds_load: Number
    seconds_per_step: Number  # of GaLore with the directions' share
    seconds_evaluation: Number
    seconds_directions: Number = 0.0  # of GaLore: to find the directions of all weights once
    directions: Count = 0  # how often they will be found, at the first step and after each galore_update_interval
    peak_memory: Count  # bytes, of all processes
    peak_gpu_memory: Count = 0  # bytes, of the fullest GPU
    steps: Count
    rows: Count
    dropped: Count
    tokens_cut: Count = 0  # after cutoff_len, of the rows that would be cut
    tokens: Count  # of all steps, padding left out
    longest: Count  # tokens of the longest row
    learning_rate: Number  # the highest
    processes: Count = 1  # that share the run
    device: Device
    dtype: Dtype

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the fields that follow from the recipe and the plan, not from what the rows are like."""
        return frozenset({"directions", "steps", "learning_rate", "processes", "device", "dtype"})
