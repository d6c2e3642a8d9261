"""A config of Axolotl becomes a recipe with LLaMA-Factory's names, and every key of it a line that says what became of it.

Source of what Axolotl does with a value, and without one: Axolotl 0.18.0, `src/axolotl/core/builders/*.py` and `src/axolotl/utils/schemas/*.py`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from ringfence.core.errors import BadValue, UnknownKey
from ringfence.core.settings import Name
from ringfence.core.text import Text, t
from ringfence.recipe.axolotl_keys import EMPTY, FIXED, NEUTRAL, OF_SETS, RENAMED
from ringfence.recipe.keys import KEYS, KeyRule, Treatment
from ringfence.recipe.read import judge, recipe_of
from ringfence.train.settings import Schedule


@dataclass(frozen=True)
class Outcome:
    """What became of one key of a config."""

    key: str
    treatment: Treatment
    why: str = ""
    to: Mapping[str, Any] = field(default_factory=dict)  # the recipe's keys and values


@dataclass(frozen=True)
class Imported:
    """A recipe's keys and values, and what became of every key of the config that they come from."""

    recipe: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """Return the keys that are refused; with any, the recipe was not checked, and is none."""
        return tuple(one.key for one in self.outcomes if one.treatment == "refused")


@dataclass(frozen=True)
class _Given:
    config: Mapping[str, Any]
    dataset: str | None  # names of sets that stand for `datasets`
    eval_dataset: str | None

    def has(self, *keys: str) -> bool:
        return any(self.config.get(key) for key in keys)

    @property
    def is_evaluated(self) -> bool:
        return self.has("val_set_size", "test_datasets") or self.eval_dataset is not None


V = TypeVar("V")
_OF_RECIPES = "model_name_or_path"  # the key that every LLaMA-Factory recipe has, and no config of Axolotl
_ALIKE = 0.7  # how much of two keys must agree for one to be a misspelling of the other
_Rule = Callable[[Any, _Given], Outcome]
_ASKED_NOT = Text("it asks for nothing", "未要求任何内容")
_UNHEARD = Text("there are no held-out rows", "没有留出行")
_UNWRITTEN = Text("not written: what Axolotl takes", "未写：取 Axolotl 的默认值")
_SAVES = Text(
    "a run writes a checkpoint whenever it is asked to stop; write save_steps for more",
    "运行被要求停止时总会写检查点；若要更多，请写 save_steps",
)


def _use(why: str = "", /, **to: object) -> Outcome:
    return Outcome("", "used", why, to)


def _note(why: Text) -> Outcome:
    return Outcome("", "noted", why.show())


def _refuse(why: str) -> Outcome:
    return Outcome("", "refused", why)


# ── keys whose value becomes another one ──────────────────────────────────────────────────────────────────────────────

_STAGES: Mapping[str, Mapping[str, str]] = {  # by rl
    "dpo": {"stage": "dpo"},
    "kto": {"stage": "kto"},
    **{loss: {"stage": "dpo", "pref_loss": loss} for loss in ("ipo", "orpo", "simpo")},
}
_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused")  # that differ in speed alone
_PLUGINS = {
    f"axolotl.integrations.{name}" for name in ("cut_cross_entropy.CutCrossEntropyPlugin", "liger.LigerPlugin", "liger.plugin.LigerPlugin")
}


def _adapter(value: object, given: _Given) -> Outcome:
    if value == "qlora" and not given.has("load_in_4bit"):  # as Axolotl itself does
        return _refuse(t("write load_in_4bit: true beside it", "请在其旁写 load_in_4bit: true"))
    if value in ("lora", "qlora", None, ""):  # without an adapter Axolotl trains the model itself
        return _use(finetuning_type="lora" if value else "full")
    return _refuse(t("write lora or qlora", "请写 lora 或 qlora"))


def _rl(value: object, _: _Given) -> Outcome:
    found, known = _STAGES.get(str(value)), ", ".join(_STAGES)
    if value in ("grpo", "rloo"):
        return _refuse(
            t(
                "write a recipe with stage: {value} and reward by hand (docs/objectives.md)",
                "请手写含 stage: {value} 与 reward 的配方（docs/objectives.md）",
                value=value,
            )
        )
    return _use(**found) if found else _refuse(t("choose one of {known}", "请选择 {known} 之一", known=known))


def _dpo_loss_type(value: object, given: _Given) -> Outcome:
    losses = value if isinstance(value, list) else [value]
    if given.config.get("rl") != "dpo":
        return _note(Text("it means something beside rl: dpo alone", "它只与 rl: dpo 一起才有意义"))
    return _use(pref_loss=losses[0]) if len(losses) == 1 else _refuse(t("a run has one loss", "一次运行只有一种损失"))


def _beside_rewards(neutral: object) -> _Rule:
    """Return the rule of a key of reward models. neutral: its value that changes nothing beside `reward_model`."""

    def rule(value: object, given: _Given) -> Outcome:
        if not given.config.get("reward_model"):
            return _note(Text("it means something beside reward_model alone", "它只与 reward_model 一起才有意义"))
        if value in (None, 0, neutral):
            return _note(_ASKED_NOT)
        return _refuse(
            t("a pair loses −log σ of its margin alone, of one score: leave it out", "每对的损失只是其单一分数之差的 −log σ：请去掉")
        )

    return rule


def _lora_target_modules(value: object, given: _Given) -> Outcome:
    names = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    if given.has("lora_target_linear"):
        return _note(Text("lora_target_linear names all of them", "lora_target_linear 已包含全部"))
    if names == ["all-linear"]:
        return _use(lora_target="all")
    if other := next((one for one in names if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", one)), None):
        how = t(
            "write the last parts of layers' names, such as q_proj, or lora_target_linear",
            "请写层名的最后一段，如 q_proj，或 lora_target_linear",
        )
        return _refuse(f"{other}: {how}")
    return _use(lora_target=",".join(names)) if names else _note(_ASKED_NOT)


def _optimizer(value: object, _: _Given) -> Outcome:
    if value == "sgd" or value in _ADAMW:
        return _use(optim="sgd" if value == "sgd" else "adamw_torch")
    if "adam" in str(value):
        return _refuse(
            t("write adamw_torch: its moments are kept in full precision, and not paged", "请写 adamw_torch：其动量以全精度保存，且不分页")
        )
    return _refuse(t("write adamw_torch or sgd", "请写 adamw_torch 或 sgd"))


def _lr_scheduler(value: object, given: _Given) -> Outcome:
    if value not in get_args(Schedule):
        return _refuse(t("choose one of {known}", "请从 {known} 中选择", known=", ".join(get_args(Schedule))))
    if value == "cosine" and given.has("cosine_min_lr_ratio"):
        return _use(t("cosine_min_lr_ratio says where it ends", "其终点由 cosine_min_lr_ratio 决定"))
    return _use(lr_scheduler_type=value)


def _cosine_min_lr_ratio(value: object, given: _Given) -> Outcome:
    if not value or given.config.get("lr_scheduler") not in (None, "cosine"):
        return _note(
            Text("it means something beside lr_scheduler: cosine alone", "它只与 lr_scheduler: cosine 一起才有意义")
            if value
            else _ASKED_NOT
        )
    if value == 1:
        return _use(t("it ends where it begins", "终点即起点"), lr_scheduler_type="constant_with_warmup")
    return _use(lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": value})


def _bf16(value: object, _: _Given) -> Outcome:
    if value == "auto":
        return _note(Text("a recipe without bf16 takes what the device does best", "不写 bf16 的配方取设备最适合的精度"))
    return _use(bf16=value == "full" or value)


def _gradient_checkpointing(value: object, _: _Given) -> Outcome:
    if isinstance(value, str):
        return _use(t("nothing is offloaded: activations are computed again", "不做卸载：激活会重新计算"), gradient_checkpointing=True)
    return _use(gradient_checkpointing=value)


def _plugins(value: object, _: _Given) -> Outcome:
    names = {str(one) for one in (value if isinstance(value, list) else [value]) if one}
    if other := ", ".join(sorted(names - _PLUGINS)):
        return _refuse(t("{other}: no code that a config names is loaded", "{other}：不加载配置所指的代码", other=other))
    return _note(KEYS["enable_liger_kernel"].why)


def _if_true(**to: object) -> _Rule:
    return lambda value, _: _use(**to) if value else _note(_ASKED_NOT)


# ── when a run is evaluated and saved ─────────────────────────────────────────────────────────────────────────────────


def _steps_of(value: float, given: _Given) -> int:
    """Return a number of steps, also of one that is written as a share of all; 0: how many there are is not known."""
    return int(value) if value >= 1 else math.ceil((given.config.get("max_steps") or 0) * value)


def _evals_per_epoch(value: float, given: _Given) -> Outcome:
    if not value or not given.is_evaluated:
        return _note(_UNHEARD if value else _ASKED_NOT)
    coarser = t(
        "once an epoch: how many steps it has follows from its rows; write eval_steps for more",
        "每轮一次：一轮的步数取决于行数；若要更多，请写 eval_steps",
    )
    return _use("" if value == 1 else coarser, eval_strategy="epoch")


def _eval_steps(value: float, given: _Given) -> Outcome:
    if not value or not given.is_evaluated:
        return _note(_UNHEARD if value else _ASKED_NOT)
    steps = _steps_of(value, given)
    return _use(eval_strategy="steps", eval_steps=steps) if steps > 0 else _refuse(t("write a whole number of steps", "请写整数步数"))


def _eval_strategy(value: object, given: _Given) -> Outcome:
    if given.has("eval_steps", "evals_per_epoch"):
        return _note(Text("eval_steps or evals_per_epoch says it", "由 eval_steps 或 evals_per_epoch 决定"))
    return _use(eval_strategy=value) if given.is_evaluated else _note(_UNHEARD)


def _save_steps(value: float, given: _Given) -> Outcome:
    steps = _steps_of(value, given)
    return _use(save_steps=steps) if steps or not value else _note(_SAVES)


def _save_strategy(value: object, given: _Given) -> Outcome:
    if value == "best":
        return _refuse(t("write load_best_model_at_end: true", "请写 load_best_model_at_end: true"))
    return _use(save_strategy="no") if value in ("no", False) and not given.has("save_steps") else _note(_SAVES)


def _early_stopping_patience(value: object, _: _Given) -> Outcome:
    why = t(
        "evaluations without a new least loss; the best weights are kept, as in Axolotl",
        "没有新的最小损失的评估次数；与 Axolotl 一样保留最佳权重",
    )
    return _use(why, early_stopping_steps=value, load_best_model_at_end=True) if value else _note(_ASKED_NOT)


def _keeps_best(given: _Given) -> bool:
    """Return whether Axolotl keeps the best weights unasked. Source: HFCausalTrainerBuilder.build, normalize_config."""
    config = given.config
    if given.has("rl", "early_stopping_patience") or config.get("load_best_model_at_end") is not None or not given.is_evaluated:
        return False
    every = []
    for steps, per_epoch in (("save_steps", "saves_per_epoch"), ("eval_steps", "evals_per_epoch")):
        share = 1 / (config[per_epoch] * (config.get("num_epochs") or 1)) if config.get(per_epoch) else 1
        every.append(share if share < 1 else config.get(steps))
    return bool(every[0] and every[1] and every[0] % every[1] == 0)


# ── sets: nothing is fetched ──────────────────────────────────────────────────────────────────────────────────────────

_SETS = {"datasets": "dataset", "pretraining_dataset": "dataset", "test_datasets": "eval_dataset"}
_OPTIONS = {"dataset": "--dataset", "eval_dataset": "--eval-dataset"}
_LOADERS = ("json", "csv", "parquet", "text")
_FILES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".parquet")
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def _files(entry: Mapping[str, Any]) -> list[str]:
    """Return the files of this machine that an entry names; none where it names what would have to be fetched, or a folder."""
    path, files = str(entry.get("path") or ""), entry.get("data_files") or []
    files = [str(one) for one in (files if isinstance(files, list) else [files])]
    is_file = not files and PurePath(path).suffix.lower() in _FILES
    found = (files or [path]) if is_file or path in ("", *_LOADERS) or path.startswith(("/", "./", "../", "~")) else []
    return found if all("://" not in one and PurePath(one).suffix.lower() in _FILES for one in found) else []


def _set(where: str, entry: Mapping[str, Any], option: str) -> Iterator[tuple[Outcome, str]]:
    """Yield what becomes of the place of one entry, and the name of a set that stands for it."""
    files = _files(entry)
    if not files:
        how = t(
            "nothing is fetched: download it, seal it with ringfence import FILE --name NAME, and write {option} NAME",
            "不会获取任何数据：请自行下载，以 ringfence import FILE --name NAME 封存，并写 {option} NAME",
            option=option,
        )
        yield replace(_refuse(how), key=f"{where}.path"), ""
    for file in files:
        stem = PurePath(file).stem
        try:
            _NAME.validate_python(stem)
        except ValidationError:
            how = t("no set can be called so; write {option} NAME", "数据集不能用此名；请写 {option} NAME", option=option)
            yield replace(_refuse(how), key=f"{where}.path"), ""
        else:
            how = t(
                "seal it first: ringfence import {file} --name {stem}",
                "请先封存：ringfence import {file} --name {stem}",
                file=file,
                stem=stem,
            )
            yield Outcome(f"{where}.path", "used", how), stem


def _sets(key: str, value: object, given: _Given) -> Iterator[Outcome]:
    """Yield what becomes of a list of sets, entry by entry.

    Raises: UnknownKey, BadValue.
    """
    target, stems = _SETS[key], []
    option, named = _OPTIONS[target], getattr(given, target)
    entries = value if isinstance(value, list) else [value]
    for number, entry in enumerate(entries):
        where = f"{key}[{number}]"
        if not isinstance(entry, dict):
            raise BadValue(key=where, problem=t("write path: and type: under it", "请在其下写 path: 与 type:"))
        for name in (str(one) for one in entry if one not in ("path", "data_files")):
            yield replace(_fixed(_known(name, OF_SETS, where=f"{where}."), name, entry[name]), key=f"{where}.{name}")
        if named is None:
            for outcome, stem in _set(where, entry, option):
                yield outcome
                stems.append(stem)
    why = t("the sets that {option} names", "由 {option} 所指的数据集", option=option) if named else ""
    stage = {"stage": "pt"} if key == "pretraining_dataset" else {}
    if found := named or ",".join(dict.fromkeys(filter(None, stems))):
        yield Outcome(key, "used", why, {target: found, **stage})


# ── all of them ───────────────────────────────────────────────────────────────────────────────────────────────────────

_TURNED: Mapping[str, _Rule] = {
    "adapter": _adapter,
    "rl": _rl,
    "dpo_loss_type": _dpo_loss_type,
    "reward_model": _if_true(stage="rm"),
    "center_rewards_coefficient": _beside_rewards(None),
    "num_labels": _beside_rewards(1),
    "lora_target_modules": _lora_target_modules,
    "lora_target_linear": _if_true(lora_target="all"),
    "load_in_4bit": _if_true(quantization_bit=4),
    "load_in_8bit": _if_true(quantization_bit=8),
    "optimizer": _optimizer,
    "lr_scheduler": _lr_scheduler,
    "cosine_min_lr_ratio": _cosine_min_lr_ratio,
    "bf16": _bf16,
    "bfloat16": _if_true(bf16=True),
    "float32": _if_true(bf16=False),
    "gradient_checkpointing": _gradient_checkpointing,
    "plugins": _plugins,
    "max_steps": lambda value, _: _use(max_steps=value) if value > 0 else _note(_ASKED_NOT),
    "evals_per_epoch": _evals_per_epoch,
    "eval_steps": _eval_steps,
    "eval_strategy": _eval_strategy,
    "evaluation_strategy": _eval_strategy,
    "saves_per_epoch": lambda _, __: _note(_SAVES),
    "save_steps": _save_steps,
    "save_strategy": _save_strategy,
    "early_stopping_patience": _early_stopping_patience,
}
AXOLOTL = frozenset({*RENAMED, *FIXED, *_TURNED, *_SETS})  # all keys that a config may have
_NUMBERS = ("max_steps", "num_epochs", "evals_per_epoch", "eval_steps", "saves_per_epoch", "save_steps")  # that are computed with
_DEFAULTS: tuple[tuple[tuple[str, ...], str, object], ...] = (  # keys that are not written: what Axolotl takes, and a recipe would not
    (("sequence_len",), "cutoff_len", 512),
    (("micro_batch_size",), "per_device_train_batch_size", 1),
    (("num_epochs",), "num_train_epochs", 1.0),
    (("lr_scheduler", "cosine_min_lr_ratio"), "lr_scheduler_type", "cosine"),
    (("warmup_ratio", "warmup_steps"), "warmup_ratio", 0.03),
)
_FIRST = ("model_name_or_path", "stage", "finetuning_type", "dataset", "eval_dataset")  # of a recipe, as people expect them
_MISSING = {"model_name_or_path": "base_model", "dataset": "datasets"}


def imported(config: Mapping[str, Any], *, dataset: str | None = None, eval_dataset: str | None = None) -> Imported:
    """Return the recipe of an Axolotl config, checked as any recipe is, and what became of every key.

    dataset, eval_dataset: names of imported sets, with commas between them, that stand for `datasets` and `test_datasets`.

    Raises: UnknownKey; BadValue, by the names of Axolotl.
    """
    if _OF_RECIPES in config:
        raise UnknownKey(key=_OF_RECIPES, nearest="")
    for key in _NUMBERS:
        if not isinstance(config.get(key, 0), int | float | None):
            raise BadValue(key=key, problem=t("it is a number", "应为数字"))
    given = _Given(config, dataset, eval_dataset)
    outcomes = [one for key, value in config.items() for one in _outcomes(key, value, given)]
    outcomes += _unwritten(given)
    document, origin = _merged(outcomes)
    why = {line.key: line.why for line in judge(document) if line.treatment == "refused"}
    outcomes = [next((Outcome(one.key, "refused", why[key]) for key in one.to if key in why), one) for one in outcomes]
    found = Imported({**{key: document[key] for key in _FIRST if key in document}, **document}, tuple(outcomes))
    if not found.refused:
        try:
            recipe_of(found.recipe)
        except BadValue as cause:
            key, dot, rest = str(cause.facts["key"]).partition(".")
            raise BadValue(key=f"{origin.get(key, _MISSING.get(key, key))}{dot}{rest}", problem=cause.facts["problem"]) from cause
    return found


def _outcomes(key: str, value: object, given: _Given) -> Iterator[Outcome]:
    """Yield what becomes of one key.

    Raises: UnknownKey, BadValue.
    """
    _known(key, dict.fromkeys(AXOLOTL))
    if key in _SETS and value:
        yield from _sets(key, value, given)
    elif (value is None and key != "adapter") or key in _SETS:
        yield replace(_note(_ASKED_NOT), key=key)
    elif not given.config.get("adapter") and key.startswith(("lora_", "peft_", "loraplus_")):
        yield replace(_note(Text("it means something beside adapter: lora alone", "它只与 adapter: lora 一起才有意义")), key=key)
    elif key in RENAMED:
        target, why = RENAMED[key]
        yield Outcome(key, "used", why.show(), {target: value})
    else:
        yield replace(_TURNED[key](value, given) if key in _TURNED else _fixed(FIXED[key], key, value), key=key)


def _known(key: str, known: Mapping[str, V], *, where: str = "") -> V:
    if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=_ALIKE)
        raise UnknownKey(key=f"{where}{key}", nearest=nearest[0] if nearest else "")
    return known[key]


def _fixed(rule: KeyRule, key: str, value: object) -> Outcome:
    """Return how a key is treated with this value: a refused one that asks for nothing is only noted."""
    if value is None or (rule.treatment == "refused" and value in NEUTRAL.get(key, EMPTY)):
        return _note(_ASKED_NOT)
    return Outcome("", rule.treatment, rule.why.show())


def _unwritten(given: _Given) -> Iterator[Outcome]:
    """Yield what Axolotl takes where a config is silent, and a recipe would take something else.

    Raises: BadValue for a key that Axolotl needs.
    """
    config, why = {**given.config, "cosine_min_lr_ratio": given.config.get("cosine_min_lr_ratio") or None}, _UNWRITTEN.show()
    if config.get("learning_rate") is None:
        raise BadValue(key="learning_rate", problem=t("it is missing", "缺失"))
    for keys, target, value in _DEFAULTS:
        if all(config.get(key) is None for key in keys):
            yield Outcome(keys[0], "used", why, {target: value})
    if "adapter" not in config:
        yield replace(_adapter(None, given), key="adapter")
    if given.dataset is not None and not given.has("datasets", "pretraining_dataset"):
        yield Outcome("datasets", "used", _OPTIONS["dataset"], {"dataset": given.dataset})
    if given.eval_dataset is not None and not given.has("test_datasets"):
        yield Outcome("test_datasets", "used", _OPTIONS["eval_dataset"], {"eval_dataset": given.eval_dataset})
    if config.get("rl") == "simpo" and config.get("cpo_alpha") is None:
        yield Outcome("cpo_alpha", "used", why, {"pref_ftx": 1.0})
    if _keeps_best(given):
        yield Outcome("load_best_model_at_end", "used", why, {"load_best_model_at_end": True})


def _merged(outcomes: Iterable[Outcome]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the recipe that outcomes say, and which key said each part of it.

    Raises: BadValue for two that disagree.
    """
    document: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for one in outcomes:
        for key, value in one.to.items():
            if key in document and document[key] != value:
                raise BadValue(key=one.key, problem=t("{other} says something else", "与 {other} 不一致", other=origin[key]))
            document[key], origin[key] = value, one.key
    return document, origin
