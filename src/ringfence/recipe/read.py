"""A recipe file becomes settings, or an error that names the key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from ringfence.audit.settings import AuditSettings
from ringfence.core.errors import BadArgument, BadValue, RecipeUnreadable, RefusedKey, UnknownKey
from ringfence.core.problems import first_problem
from ringfence.core.rules import ReleaseRules
from ringfence.core.settings import Settings
from ringfence.core.text import Text, t
from ringfence.privacy.plan import PrivacySettings
from ringfence.recipe.drawn import DRAWING, SHARED, drawn, refuse_beside, refused_of_stage
from ringfence.recipe.keys import BESIDE, KEYS, NOTHING_ASKED, TEXTS, KeyRule, Treatment, idle, judged, shares_of, without
from ringfence.recipe.templates import NAMES, OTHER_WORDS, PLAIN, refuse_unknown
from ringfence.train.settings import WHOLE, WHOLE_METHODS, Cut, RuntimeHints, TrainOrder, TrainSettings

B = TypeVar("B", bound=Settings)

_LIMIT = 1 << 20  # bytes of a recipe file
_BLOCKS = ("privacy", "audit", "release")  # ringfence's own
_SETS = ("dataset", "eval_dataset")
_NAMES = ("model_name_or_path", *_SETS)  # the first digits of a digest may look like a number: 123456e78901
_LOSSES: Mapping[str, Mapping[str, str]] = {  # objectives by stage and pref_loss; the first is what a stage has without one
    "sft": {"": "sft.v1"},
    "pt": {"": "pt.v1"},
    "dpo": {
        "sigmoid": "dpo.v1",
        "hinge": "hinge.v1",
        "ipo": "ipo.v1",
        "apo_zero": "apo-zero.v1",
        "orpo": "orpo.v1",
        "simpo": "simpo.v1",
    },
    "rm": {"": "rm.v1"},
    "kto": {"kto": "kto.v1", "apo_zero": "apo-zero-unpaired.v1"},
    "grpo": {"": "grpo.v1"},
    "rloo": {"": "rloo.v1"},
}
_PACKS = ("packing", "neat_packing", "padding_free")  # of LLaMA-Factory and TRL, by which rows share a sequence
_OWNERS: Mapping[str, tuple[tuple[str, ...], str | None]] = {  # stages that have a key, and the loss that alone has it
    "pref_loss": (("dpo", "kto"), None),
    "pref_beta": (("dpo", "kto"), None),
    "pref_ftx": (("dpo",), None),
    "dpo_label_smoothing": (("dpo",), "sigmoid"),
    "simpo_gamma": (("dpo",), "simpo"),
    "kto_chosen_weight": (("kto",), None),
    "kto_rejected_weight": (("kto",), None),
    **dict.fromkeys(_PACKS, (("sft", "pt"), None)),
    "train_on_prompt": (("sft",), None),
    "mask_history": (("sft",), None),
}
_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused")  # that differ in speed alone
_CUT_KEYS = {"most": "max_samples", "held_out": "val_size", "seed": "seed", "shares": "interleave_probs"}  # by the fields of a cut
_DECIDING = ("stage", "do_train", "finetuning_type", "pref_loss", "mix_strategy", "optim")  # keys that decide what others mean
_LOGGED = 500  # logging_steps of transformers where a recipe does not say
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


@dataclass(frozen=True)
class Line:
    """What became of one key."""

    key: str
    treatment: Treatment
    why: str


@dataclass(frozen=True)
class Recipe:
    """A recipe, read and checked."""

    model: str
    dataset: str  # as it is written: a name, or several with commas between them
    eval_dataset: str | None
    order: TrainOrder
    lines: tuple[Line, ...]
    privacy: PrivacySettings | None = None
    audit: AuditSettings | None = None
    release: ReleaseRules | None = None
    cut: Cut = WHOLE
    dataset_dir: str | None = None  # the folder of a dataset_info.json
    template: str | None = None  # the name of the chat template that the model must have

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the sets that are learned from, in the order in which their rows are read."""
        return _names(self.dataset)

    @property
    def eval_datasets(self) -> tuple[str, ...]:
        """The names of the held-out sets; none without `eval_dataset`, or with `do_eval: false`."""
        return _names(self.eval_dataset) if self.eval_dataset and self.order.train.eval else ()

    def shared_by(self, processes: int | None, *, shard: bool = False) -> Recipe:
        """Return the recipe of the same run, shared by so many processes; None: as many as there are GPUs, or one. shard: each holds a part of the base.

        Raises: BadArgument for a run whose base cannot be divided.
        """
        hints = self.order.hints.model_copy(update={"processes": processes, "shard": shard})
        order = self.order.model_copy(update={"hints": hints})
        try:
            if shard:
                TrainOrder.model_validate(dict(order))
        except ValidationError as cause:
            raise BadArgument(option="--shard", problem=first_problem(cause)[1], verb="train") from cause
        return replace(self, order=order)


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice, reads 1e-4 as a number, as people expect, and a name never as one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        """Return the mapping of a node."""
        for key, value in node.value:
            for one in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                if key.value in _NAMES and one.tag in _NUMBERS:
                    one.tag = "tag:yaml.org,2002:str"
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError(t("a key is written twice", "有键写了两次"))
        return dict(mapping)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))


def read(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of a YAML file; `overrides` (key=value on the command line, or block.key=value) win.

    Raises: RecipeUnreadable, UnknownKey, RefusedKey, BadValue.
    """
    return recipe_of(document_of(path, overrides))


def document_of(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the mapping of a YAML file with `overrides` in their places.

    Raises: RecipeUnreadable; BadValue for a key inside of what is no block.
    """
    document = load(path)
    for key, value in (overrides or {}).items():
        document = with_value(document, key, value)
    return document


def with_value(document: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return the document with a value in the place of a key; one inside a block has a dot: privacy.epsilon.

    Raises: BadValue where what should be a block is none.
    """
    name, dot, rest = key.partition(".")
    if not dot:
        return {**document, name: value}
    block = document.get(name) or {}
    if not isinstance(block, dict):
        raise BadValue(key=name, problem=t("it is no block, so it has no {key}", "它不是块，没有 {key}", key=rest))
    return {**document, name: with_value(block, rest, value)}


def recipe_of(document: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a mapping of keys to values.

    Raises: UnknownKey, RefusedKey, BadValue.
    """
    if unknown := next((key for key in document if key not in KEYS), None):
        raise UnknownKey(key=unknown, nearest=_nearest(unknown))
    lines = tuple(judge(document))  # keys without a value, too: an empty privacy block must not pass for a private run
    for line in lines:
        if line.treatment == "refused":
            raise RefusedKey(key=line.key, reason=line.why)
    asked = {key: value for key, value in document.items() if not _idle(key, document)}
    return _recipe({key: value for key, value in asked.items() if value is not None or key in _BLOCKS}, lines)


def checked(document: Mapping[str, Any]) -> list[Line]:
    """Return what becomes of every key, in the file's order, and after them what is missing: what `recipe_of` would raise is the reason of a refused line.

    Beside keys that are refused, the values of the others are read as far as the first that cannot stand, unless a refused one decides what they mean.
    """
    lines = judge(document)
    refused = {line.key for line in lines if line.treatment == "refused"}
    if refused.intersection(_DECIDING):
        return lines
    try:
        recipe_of({key: value for key, value in document.items() if key not in refused})
    except BadValue as cause:
        key, _, within = str(cause.facts["key"]).partition(".")
        problem = str(cause.facts["problem"])
        bad = Line(key, "refused", f"{within}: {problem}" if within else problem)
        return [bad if line.key == key else line for line in lines] + ([] if key in document else [bad])
    return lines


def judge(document: Mapping[str, Any]) -> list[Line]:
    """Return what becomes of every key, in the file's order; one that nobody knows is refused."""
    return [_line(key, document) for key in document]


def _line(key: str, document: Mapping[str, Any]) -> Line:
    value = document[key]
    if key in UnknownKey.of_others and key not in KEYS:
        return Line(key, "refused", UnknownKey.of_others[key].show())
    if key not in KEYS:
        nearest = _nearest(key)
        did_you_mean = t("; did you mean {nearest}?", "；是否指 {nearest}？", nearest=nearest) if nearest else ""
        return Line(key, "refused", t("no key has this name", "没有此名称的键") + did_you_mean)
    owner = _missing_owner(key, document)
    rule = without(owner) if owner else judged(key, value)
    if key in SHARED and document.get("stage") in DRAWING:
        rule = KeyRule("used")
    if key == "interleave_probs":
        rule = shares_of(document.get("mix_strategy"))
    if nothing := _idle(key, document):
        rule = KeyRule("noted", nothing)
    elif not owner and (reason := _refused_value(key, value)):
        rule = KeyRule("refused", reason)
    return Line(key, rule.treatment, rule.why.show())


def _nearest(key: str) -> str:
    """Return the known key whose name is most like this one; "" where none is."""
    return next(iter(difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)), "")


def _idle(key: str, document: Mapping[str, Any]) -> Text | None:
    """Return why a used key asks for nothing with its value, as the other keys are; None where it asks for something."""
    value, stage = document[key], document.get("stage", "sft")
    if key == "template" and stage == "pt" and value in NAMES:
        return TEXTS
    is_idle = idle(key, value) or (key == "pref_loss" and value == "sigmoid" and stage != "dpo")  # LLaMA-Factory's default
    is_of_another = value is False and _owner(key) not in (None, document.get("finetuning_type", "lora"))
    return NOTHING_ASKED if is_idle or is_of_another else None


def _missing_owner(key: str, document: Mapping[str, Any]) -> str | None:
    """Return the key beside which alone this one means something, where it is not there; None where it means something."""
    return next((owner for owner, keys in BESIDE.items() if key in keys and not document.get(owner)), None)


def load(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file.

    Raises: RecipeUnreadable.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise RecipeUnreadable(path=str(path), problem=t("too long", "过长"))
        document = strict_yaml(data.decode())
    except (OSError, UnicodeDecodeError) as cause:
        raise RecipeUnreadable(path=str(path), problem=t("it cannot be read", "无法读取")) from cause
    except yaml.YAMLError as cause:
        raise RecipeUnreadable(path=str(path), problem=_yaml_problem(cause)) from cause
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise RecipeUnreadable(path=str(path), problem=t("it is not one mapping of names", "不是由名称构成的映射"))
    return document


def override_value(key: str, text: str) -> object:
    """Return the value of `key=text` on the command line, read as the file's would be.

    Raises: yaml.YAMLError.
    """
    value = strict_yaml(text)
    return text.strip() if key in _NAMES and isinstance(value, int | float) and not isinstance(value, bool) else value


def strict_yaml(text: str) -> object:
    """Return the value of a YAML document; a key written twice is an error.

    Raises: yaml.YAMLError.
    """
    try:
        value: object = yaml.load(text, _Loader)  # noqa: S506  derived from SafeLoader
    except (ValueError, LookupError, AttributeError, RecursionError) as cause:  # PyYAML lets them out for bad scalars
        raise yaml.YAMLError(t("a value cannot be read", "有值无法读取")) from cause
    return value


def _yaml_problem(cause: Exception) -> str:
    mark = getattr(cause, "problem_mark", None)
    return (
        t("YAML error in line {line}", "第 {line} 行 YAML 有误", line=mark.line + 1)
        if mark
        else t("YAML error", "YAML 有误") + f": {cause}"
    )


_METHODS = {"lora": "lora.v1", "oft": "oft.v1", "full": "full.v1", "freeze": "freeze.v1"}


def _refused_value(key: str, value: object) -> Text | None:
    """Return why a value of a known key cannot stand, if it cannot."""
    if key == "stage" and (why := refused_of_stage(value)):
        return why
    if isinstance(value, str) and (reason := _REASONS.get((key, value))):
        return reason
    test, why = _VALUES.get(key, (lambda _: False, None))
    return why if value is not None and test(value) else None


def _calls_out(value: object) -> bool:
    wanted = value if isinstance(value, list) else [value]
    return not {str(one) for one in wanted} <= {"none", "tensorboard"}


_ON_THE_FLY = Text(
    "write bnb: HQQ and EETQ quantise while a model is loaded, as bitsandbytes does, but are not offered",
    "请写 bnb：HQQ 与 EETQ 同 bitsandbytes 一样在加载模型时量化，但不提供",
)
_REASONS: Mapping[tuple[str, str], Text] = {  # of single values, by their keys
    **dict.fromkeys((("quantization_method", name) for name in ("hqq", "eetq")), _ON_THE_FLY),
    **dict.fromkeys((("template", name) for name in PLAIN), OTHER_WORDS),
}
_LOOKS_ALONE = Text(
    "without do_train a recipe only evaluates what was trained: ringfence eval RUN --data SET; to train, write do_train: true beside it",
    "没有 do_train 的配方只评估已训练的内容：ringfence eval RUN --data SET；要训练请在其旁写 do_train: true",
)
_NO_TRAINING = Text(
    "a recipe without training has nothing to do here; ringfence eval RUN --data SET evaluates what was trained",
    "不训练的配方在此无事可做；用 ringfence eval RUN --data SET 评估已训练的运行",
)
_VALUES: Mapping[str, tuple[Callable[[object], bool], Text]] = {
    "report_to": (_calls_out, Text("it would send figures to another service", "它会把数据发送到其他服务")),
    "fp16": (lambda value: value is True, Text("float16 is not offered; use bf16", "不提供 float16；请用 bf16")),
    "stage": (
        lambda value: str(value) not in _LOSSES,
        Text("choose pt, sft, rm, dpo, kto, grpo or rloo", "请选择 pt、sft、rm、dpo、kto、grpo 或 rloo"),
    ),
    "pref_loss": (
        lambda value: not any(str(value) in losses for losses in _LOSSES.values()),
        Text(
            "choose sigmoid, hinge, ipo, apo_zero, orpo or simpo; the point that kto_pair compares with is a mean over the batch, that of apo_zero is fixed",
            "请选择 sigmoid、hinge、ipo、apo_zero、orpo 或 simpo；kto_pair 的参照点是整批的均值，apo_zero 的则固定",
        ),
    ),
    "finetuning_type": (
        lambda value: value not in _METHODS,
        Text("choose lora, oft, freeze or full", "请选择 lora、oft、freeze 或 full"),
    ),
    "quantization_bit": (
        lambda value: value not in (4, 8),
        Text("bitsandbytes has 4 and 8 bits", "bitsandbytes 有 4 位与 8 位"),
    ),
    "quantization_method": (
        lambda value: value not in ("bnb", "bitsandbytes"),
        Text(
            "write bnb: the other methods need weights that were quantised elsewhere, by the look of other rows",
            "请写 bnb：其他方法需要在别处依据其他数据量化好的权重",
        ),
    ),
    "optim": (
        lambda value: value != "sgd" and value not in _ADAMW,
        Text("choose adamw_torch or sgd", "请选择 adamw_torch 或 sgd"),
    ),
    "save_strategy": (
        lambda value: value not in ("steps", "no", False),
        Text("choose steps or no; save_steps says how often", "请选择 steps 或 no；由 save_steps 决定频率"),
    ),
    "metric_for_best_model": (
        lambda value: value not in ("loss", "eval_loss"),
        Text("the best model is that with the least loss of held-out rows", "最佳模型即留出行损失最小者"),
    ),
    "greater_is_better": (lambda value: value is not False, Text("the least loss is the best", "损失最小者为佳")),
    "ignore_pad_token_for_loss": (lambda value: value is False, Text("padding is never learned", "从不学习填充")),
    "do_train": (lambda value: value is False, _NO_TRAINING),
    "mix_strategy": (
        lambda value: value not in ("concat", "interleave_under", "interleave_once"),
        Text(
            "choose concat, interleave_under or interleave_once; interleave_over learns rows several times, of which an audit and the account of their people know one",
            "请选择 concat、interleave_under 或 interleave_once；interleave_over 会多次学习同一行，而审计与这些人的账户只计一次",
        ),
    ),
    "default_system": (
        lambda value: value == "",
        Text(
            "the words that a template puts there by itself cannot be taken away, only replaced; write those that shall stand there",
            "模板自带的系统消息无法去掉，只能替换；请写应有的内容",
        ),
    ),
}


def _recipe(document: Mapping[str, Any], lines: tuple[Line, ...]) -> Recipe:
    looks = next((key for key in ("do_predict", "do_eval") if document.get(key) is True), None)
    if looks and document.get("do_train") is None:  # nobody asked for training
        raise BadValue(key=looks, problem=_LOOKS_ALONE.show())
    for key in ("model_name_or_path", "dataset"):
        if document.get(key) is None:
            raise BadValue(key=key, problem=t("it is missing", "缺失"))
    if not isinstance(document["model_name_or_path"], str):
        raise BadValue(key="model_name_or_path", problem=t("write the name of a model", "请写模型名称"))
    document = {key: _joined(value) if key in _SETS else value for key, value in document.items()}
    dataset, evaluation = document["dataset"], document.get("eval_dataset")
    for key, value in (("dataset", dataset), ("eval_dataset", evaluation)):
        if value is not None:
            _check_names(key, value)
    cut = _cut(document)
    fields = _train_fields(document, has_held_out=evaluation is not None or bool(cut.held_out))
    privacy, audit = _privacy(document), _block(document, "audit", AuditSettings, first="secrets, in_out")
    if privacy is not None:
        fields |= _under_privacy(document, privacy, fields)
    try:
        order = TrainOrder(train=TrainSettings.model_validate(fields), hints=_hints(document))
    except ValidationError as cause:
        where, problem = first_problem(cause)
        raise BadValue(key=".".join(where) or "recipe", problem=problem) from cause
    release = _block(document, "release", ReleaseRules, first="secret_extraction, membership, …")
    return Recipe(
        document["model_name_or_path"],
        dataset,
        evaluation,
        order,
        lines,
        privacy,
        audit,
        release,
        cut,
        _dataset_dir(document),
        _template(document),
    )


def _train_fields(document: Mapping[str, Any], *, has_held_out: bool) -> dict[str, Any]:
    """Return the fields of TrainSettings as a recipe says them, privacy aside.

    Raises: BadValue.
    """
    fields = {key: document[key] for key in TrainSettings.model_fields if key in document and not _missing_owner(key, document)}
    for key in ("lora_target", "oft_target", "galore_target", "freeze_trainable_modules", "freeze_extra_modules"):
        if isinstance(listed := fields.get(key), str):
            fields[key] = tuple(part.strip() for part in listed.split(","))
    if fields.get("freeze_extra_modules", ()) is None:
        del fields["freeze_extra_modules"]
    fields["objective"] = _objective(document)
    fields["drawn"] = drawn(document)
    if fields["drawn"]:
        refuse_beside(document)
    fields["method"] = _method(document)
    fields |= _looks(document, has_held_out=has_held_out)
    if document.get("train_on_prompt") and document.get("mask_history"):
        raise BadValue(key="mask_history", problem=t("it does not go with train_on_prompt", "不能与 train_on_prompt 同用"))
    if document.get("save_strategy", "steps") in ("no", False):
        fields["save_steps"] = 0
    if fields.get("optim") not in (None, "sgd"):
        fields["optim"] = "adamw_torch"  # its variants differ in speed alone
    return fields


def _looks(document: Mapping[str, Any], *, has_held_out: bool) -> dict[str, Any]:
    """Return when held-out rows are evaluated.

    Raises: BadValue.
    """
    is_evaluated, strategy = has_held_out and document.get("do_eval") is not False, document.get("eval_strategy", "no")
    if strategy is False:  # what YAML 1.1 reads where somebody writes no
        strategy = "no"
    if strategy == "no" and document.get("eval_steps"):
        raise BadValue(key="eval_steps", problem=t("write eval_strategy: steps beside it", "请在其旁写 eval_strategy: steps"))
    if strategy != "no" and not is_evaluated:
        raise BadValue(key="eval_strategy", problem=t("it needs eval_dataset or val_size", "需要 eval_dataset 或 val_size"))
    every = {"eval_steps": document.get("logging_steps", _LOGGED)} if strategy == "steps" and "eval_steps" not in document else {}
    return {"eval": is_evaluated, "eval_strategy": strategy, **every}


def _method(document: Mapping[str, Any]) -> str:
    """Return the name of what is trained.

    Raises: BadValue.
    """
    kind = document.get("finetuning_type", "lora")
    for key in document:
        if (needed := _owner(key)) not in (None, kind):
            raise BadValue(key=key, problem=t("it needs finetuning_type: {kind}", "需要 finetuning_type: {kind}", kind=needed))
    if kind != "lora":
        return _METHODS[kind]
    asked = [method for key, method in (("use_dora", "dora.v1"), ("pissa_init", "pissa.v1")) if document.get(key) is True]
    if len(asked) > 1:
        raise BadValue(key="pissa_init", problem=t("it does not go with use_dora", "不能与 use_dora 同用"))
    return asked[0] if asked else "lora.v1"


def _owner(key: str) -> str | None:
    """Return the kind of fine-tuning that a key belongs to; None where it belongs to all."""
    if key.startswith("freeze_") and key in KEYS and KEYS[key].treatment == "used":
        return "freeze"
    if key.startswith("oft_") or key == "module_dropout":
        return "oft"
    is_lora = key.startswith(("lora_", "loraplus_", "pissa_")) or key in ("use_rslora", "use_dora")
    return "lora" if is_lora and key in KEYS and KEYS[key].treatment == "used" else None


def _template(document: Mapping[str, Any]) -> str | None:
    name = document.get("template")
    if name is not None:
        refuse_unknown(name)
    return name


def _dataset_dir(document: Mapping[str, Any]) -> str | None:
    """Return the folder in which the names of sets are looked up beside the workspace; None where the recipe leaves it empty.

    Raises: BadValue.
    """
    folder = document.get("dataset_dir", "data")
    if not isinstance(folder, str):
        raise BadValue(key="dataset_dir", problem=t("write the path of a folder", "请写文件夹路径"))
    if folder == "ONLINE" or folder.startswith("REMOTE:"):
        raise BadValue(
            key="dataset_dir",
            problem=t("nothing is fetched from elsewhere; write the path of a folder", "不会从别处获取数据；请写文件夹路径"),
        )
    return folder or None


def _cut(document: Mapping[str, Any]) -> Cut:
    """Return what a recipe takes of its sets.

    Raises: BadValue.
    """
    mix = _mix(document)
    asked = next((key for key in ("max_samples", "val_size") if document.get(key)), "mix_strategy" if mix else None)
    if asked and "privacy" in document:
        raise BadValue(
            key=asked,
            problem=t(
                "a promise counts the people of whole sets; import what is wanted as a set of its own: ringfence import FILE --rows 1:N",
                "隐私承诺按整个数据集的人数计算；请把所需的行单独导入：ringfence import FILE --rows 1:N",
            ),
        )
    if document.get("val_size") and document.get("eval_dataset"):
        raise BadValue(key="val_size", problem=t("name eval_dataset or val_size, not both", "eval_dataset 与 val_size 只能写一个"))
    found = {"most": document.get("max_samples"), "held_out": document.get("val_size", 0.0), **mix}
    if found["held_out"] or found.get("shares"):  # nothing else is drawn
        found["seed"] = document.get("seed", WHOLE.seed)
    try:
        return Cut.model_validate(found)
    except ValidationError as cause:
        where, problem = first_problem(cause)
        raise BadValue(
            key=_CUT_KEYS.get(where[0], "val_size") if where else "interleave_probs" if mix else "val_size", problem=problem
        ) from cause


def _mix(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cut has of interleaved sets; nothing where every row is taken.

    Raises: BadValue.
    """
    shares, names = document.get("interleave_probs"), _names(document["dataset"])
    strategy = document.get("mix_strategy", "concat")
    if shares is not None and strategy == "concat":
        raise BadValue(key="interleave_probs", problem=t("it needs mix_strategy: interleave_under", "需要 mix_strategy: interleave_under"))
    try:
        listed = shares.split(",") if isinstance(shares, str) else shares or ()
        found = tuple(map(float, listed if isinstance(listed, list | tuple) else (listed,)))
    except (TypeError, ValueError) as cause:
        raise BadValue(
            key="interleave_probs", problem=t("write one share for each set: 0.7,0.3", "请为每个数据集写一个比例：0.7,0.3")
        ) from cause
    if found and len(found) != len(names):
        raise BadValue(key="interleave_probs", problem=t("write one share for each set: 0.7,0.3", "请为每个数据集写一个比例：0.7,0.3"))
    if strategy != "interleave_under" or len(names) == 1:
        return {}
    return {"is_mixed": True, "shares": found}


_FTX = Text(
    "LLaMA-Factory's stage: kto adds the loss of liked answers by it, which is not offered here; stage: dpo has it",
    "LLaMA-Factory 的 stage: kto 以此加上受欢迎回答的损失，此处不提供；stage: dpo 有此键",
)


def _objective(document: Mapping[str, Any]) -> str:
    """Return the name of what is minimised.

    Raises: BadValue for a key of another one.
    """
    stage = document.get("stage", "sft")
    losses = _LOSSES[stage]
    loss = document.get("pref_loss", next(iter(losses)))
    for key, (stages, owner) in _OWNERS.items():
        if document.get(key) in (None, _fallback(key)):
            continue
        if (stage, key) == ("kto", "pref_ftx"):
            raise BadValue(key=key, problem=_FTX.show())
        if stage not in stages:
            told = t(" or ", " 或 ").join(f"stage: {one}" for one in stages)
            raise BadValue(key=key, problem=t("it belongs to {told}", "它只用于 {told}", told=told))
        if owner not in (None, loss):
            raise BadValue(key=key, problem=t("it belongs to pref_loss: {owner}", "它只用于 pref_loss: {owner}", owner=owner))
    if loss not in losses:
        raise BadValue(
            key="pref_loss", problem=t("stage: {stage} has {known}", "stage: {stage} 可用 {known}", stage=stage, known=", ".join(losses))
        )
    return losses[loss]


def _joined(value: object) -> object:
    """Return a list of names as a text with commas between them; anything else as it is."""
    return ",".join(value) if isinstance(value, list) and value and all(isinstance(one, str) for one in value) else value


def _fallback(key: str) -> object:
    """Return what a recipe without the key has: who writes it down asks for nothing."""
    if key in _PACKS:
        return False
    return TrainSettings.model_fields[key].default if key in TrainSettings.model_fields else None


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(","))


def _check_names(key: str, value: object) -> None:
    """Return when a list of sets is a text with a name between all commas, and none twice.

    Raises: BadValue.
    """
    if not isinstance(value, str):
        raise BadValue(key=key, problem=t("write the name of a set, or several with commas", "请写数据集名称；多个名称以逗号分隔"))
    names = _names(value)
    if len(names) > 1 and not all(names):
        raise BadValue(key=key, problem=t("a name is missing beside a comma", "逗号旁缺少名称"))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadValue(key=key, problem=t("it names {name} twice", "{name} 出现了两次", name=twice))


def _hints(document: Mapping[str, Any]) -> RuntimeHints:
    for key in (
        "bf16",
        "gradient_checkpointing",
        "activation_checkpointing",
        "disable_gradient_checkpointing",
        "use_dora",
        "pissa_init",
        "use_cpu",
        *_PACKS,
    ):
        if not isinstance(document.get(key, False), bool):
            raise BadValue(key=key, problem=t("it is true or false", "只能是 true 或 false"))
    asked = next((document[key] for key in ("activation_checkpointing", "gradient_checkpointing") if key in document), None)
    found: dict[str, Any] = {"checkpointing": not document.get("disable_gradient_checkpointing", True) if asked is None else asked}
    if any(document.get(key) for key in _PACKS):
        found["packing"] = True
    if document.get("use_cpu"):
        found["device"] = "cpu"
    if "bf16" in document:  # otherwise whatever the device does best
        found["dtype"] = "bfloat16" if document["bf16"] else "float32"
    return RuntimeHints(**found)


_BY_ROWS = Text(
    "a choice by private rows that no promise covers; train each value as a run of its own, which is charged",
    "依据隐私行作出的选择，没有承诺涵盖；请把每个取值作为单独的运行训练，并计入预算",
)
_SEVERAL = Text(
    "several records would be one row, and what one of them adds to a step could not be bounded; leave it out under privacy",
    "多条记录会成为一行，无法界定其中一条对一步的贡献；隐私运行请去掉它",
)
_NOT_PRIVATE: Mapping[str, Text] = {
    **dict.fromkeys(("load_best_model_at_end", "early_stopping_steps"), _BY_ROWS),
    **dict.fromkeys(_PACKS, _SEVERAL),
}


def _under_privacy(document: Mapping[str, Any], privacy: PrivacySettings, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a private run has in place of some fields.

    Raises: BadValue for what no private run can have.
    """
    if fields.get("lora_dropout"):
        raise BadValue(
            key="lora_dropout",
            problem=t(
                "its masks would tie every row to its neighbours, so that no unit's part could be bounded; leave it out under privacy",
                "其掩码会把每一行与相邻行联系起来，无法界定单个单位的影响；隐私运行请去掉它",
            ),
        )
    if fields.get("neftune_noise_alpha"):
        raise BadValue(
            key="neftune_noise_alpha",
            problem=t(
                "its noise is drawn from a public seed by a row's place among others; leave it out under privacy, which adds noise of its own",
                "其噪声由公开种子按行的位置抽取；隐私运行请去掉它，隐私训练自有噪声",
            ),
        )
    if fields["objective"] == "kto.v1":
        raise BadValue(
            key="stage",
            problem=t(
                "kto compares each answer with a mean over the batch, so that no row's part could be bounded; write pref_loss: apo_zero beside it",
                "kto 将每个回答与整批的均值比较，无法界定单行的影响；请在其旁写 pref_loss: apo_zero",
            ),
        )
    for key, why in _NOT_PRIVATE.items():
        if document.get(key):
            raise BadValue(key=key, problem=why.show())
    if fields["method"] == "oft.v1":
        raise BadValue(
            key="finetuning_type",
            problem=t(
                "what a rotation adds is not told apart by rows in this version; write lora under privacy",
                "本版本无法按行区分一个旋转的贡献；隐私运行请写 lora",
            ),
        )
    if document.get("use_dora") is True:
        raise BadValue(
            key="use_dora",
            problem=t(
                "its lengths depend on sums of weights in which no row's gradient can be told apart; leave it out under privacy",
                "其长度取决于权重之和，无法从中区分单行的梯度；隐私运行请去掉它",
            ),
        )
    # The sum is noised already: what one unit adds is bounded by privacy.clip_norm.
    found = {"max_grad_norm": 0.0, **_learns_under_noise(fields)}
    scaled = next((key for key in ("loraplus_lr_ratio", "use_rslora", "pissa_init") if document.get(key)), None)
    if fields["method"] in WHOLE_METHODS:
        scaled = "finetuning_type"
    if scaled and found["optim"] == "sgd" and found["learning_rate"] is None:
        raise BadValue(
            key=scaled,
            problem=t(
                "the rate that a private run finds was measured for plain LoRA; name a learning_rate",
                "隐私运行自行求得的学习率是为普通 LoRA 测定的；请写明 learning_rate",
            ),
        )
    return {**found, "momentum": _momentum(privacy, found["optim"])}


def _learns_under_noise(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimiser of a private run, and its rate, open unless it is named: what learned most in docs/privacy.md, section 7.

    Whoever names a rate and no optimiser means the one that everybody else's recipes mean.
    """
    optim = fields.get("optim") or ("adamw_torch" if "learning_rate" in fields else "sgd")
    return {"optim": optim} if optim != "sgd" else {"optim": optim, "learning_rate": fields.get("learning_rate")}


def _momentum(privacy: PrivacySettings, optim: object) -> float:
    if optim == "sgd":
        return 0.9 if privacy.momentum is None else privacy.momentum
    if privacy.momentum is not None:
        raise BadValue(key="privacy.momentum", problem=t("it belongs to optim: sgd", "它只用于 optim: sgd"))
    return 0.0


def _privacy(document: Mapping[str, Any]) -> PrivacySettings | None:
    found = _block(document, "privacy", PrivacySettings, first="epsilon (or noise_multiplier), delta")
    if found is not None and "max_grad_norm" in document:
        raise BadValue(
            key="max_grad_norm",
            problem=t("a private run bounds each unit instead: privacy.clip_norm", "隐私运行改为限制每个单位：privacy.clip_norm"),
        )
    return found


def _block(document: Mapping[str, Any], key: str, settings: type[B], *, first: str) -> B | None:
    """Return a block of ringfence's own; None when the recipe has none. first: what stands in it, for whoever left it empty."""
    if key not in document:
        return None
    if not isinstance(document[key], dict):
        raise BadValue(key=key, problem=t("write {first} under it", "请在其下写明 {first}", first=first))
    try:
        return settings.model_validate(document[key])
    except ValidationError as cause:
        where, problem = first_problem(cause)
        raise BadValue(key=".".join((key, *where)), problem=problem) from cause
