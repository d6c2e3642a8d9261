"""The keys of `stage: grpo` and `stage: rloo`: names and defaults of TRL's, and what does not go beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ringfence.core.errors import BadValue
from ringfence.core.problems import first_problem
from ringfence.core.text import Text, t
from ringfence.train.reward import REWARDS
from ringfence.train.settings import DrawnSettings

DRAWING = ("grpo", "rloo")  # stages
SHARED = ("temperature", "top_p", "top_k")  # keys that mean something else in other stages: how a finished model answers
_RLOO = {"num_generations": 2, "beta": 0.05}  # TRL's defaults that are not those of GRPO

_PPO = Text(
    "TRL 1.16 has no trainer for it any more. GRPO does what it did without a second model of values; write stage: grpo, and beside it "
    "reward: [rouge-l.v1], or other rewards of docs/objectives.md; ppo_* keys have nothing to say then",
    "TRL 1.16 已不再提供其训练器。GRPO 无需另一个价值模型即可完成其工作；请写 stage: grpo，并在其旁写 reward: [rouge-l.v1] 或 docs/objectives.md 中的其他奖励；"
    "ppo_* 键届时不起作用",
)
_LOOKS = Text(
    "a run that draws its answers reads no held-out rows; afterwards: ringfence eval RUN --data SET",
    "抽取回答的运行不读取留出行；之后请用 ringfence eval RUN --data SET",
)
_KEEPS = Text(
    "such a run keeps no checkpoint: TRL's own hold pickles, which can run code; one that is stopped starts anew",
    "此类运行不保存检查点：TRL 的检查点含 pickle，可能执行代码；被停止的运行须重新开始",
)
_ONE_RATE = Text("TRL steps all weights at one rate", "TRL 以同一学习率更新所有权重")
_ADAM = Text("TRL steps by AdamW alone", "TRL 只以 AdamW 更新")
_COARSE = Text(
    "TRL holds what is learned beside such a base in bfloat16, in which small steps are rounded away",
    "TRL 在这样的基础模型之旁以 bfloat16 保存所学内容，小步更新会被舍入掉",
)
_CLEAN = Text("the noise would be in the answers that it draws, too", "噪声也会进入所抽取的回答")
_PROMISE = Text(
    "without a privacy guarantee only: TRL hands over one gradient of all rows of a step, in which no person's part is clipped, rows are not drawn by "
    "Poisson sampling, and the loss divides by the tokens of all answers together; write stage: sft, or dpo with compared answers, under privacy",
    "只能在没有隐私保证的情况下运行：TRL 给出的是一步中所有行的合并梯度，其中没有裁剪任何人的部分，行也不是按泊松抽样抽取，且损失除以全部回答的词元总数；"
    "隐私运行请写 stage: sft，或以成对回答写 dpo",
)
_JUDGE = Text(
    "a run of stage: rm is asked about pairs in its audit and evaluation, not about drawn answers; name rewards instead, reward: [rouge-l.v1]",
    "stage: rm 的运行只在其审计与评估中为成对回答打分，不为抽取的回答打分；请改写奖励，reward: [rouge-l.v1]",
)
_BESIDE: Mapping[str, Text] = {
    "privacy": _PROMISE,
    "eval_dataset": _LOOKS,
    "val_size": _LOOKS,
    "eval_strategy": _LOOKS,
    "eval_steps": _LOOKS,
    "load_best_model_at_end": _LOOKS,
    "early_stopping_steps": _LOOKS,
    "save_steps": _KEEPS,
    "loraplus_lr_ratio": _ONE_RATE,
    "use_galore": _ADAM,
    "quantization_bit": _COARSE,
    "neftune_noise_alpha": _CLEAN,
    "reward_model": _JUDGE,
}


def refused_of_stage(value: object) -> Text | None:
    """Return why a stage cannot stand whose work another one does."""
    return _PPO if value == "ppo" else None


def refuse_beside(document: Mapping[str, Any]) -> None:
    """Return when nothing in a recipe asks for what no run of these stages does.

    Raises: BadValue.
    """
    for key, why in _BESIDE.items():
        if document.get(key) not in (None, False, 0, "no") or (key == "privacy" and key in document):
            raise BadValue(key=key, problem=why.show())


def drawn(document: Mapping[str, Any]) -> DrawnSettings | None:
    """Return how a recipe has answers drawn and rewarded; None of another stage.

    Raises: BadValue.
    """
    stage, fields = document.get("stage", "sft"), {key: document[key] for key in DrawnSettings.model_fields if key in document}
    if stage not in DRAWING:
        if other := next((key for key in fields if key not in SHARED), None):
            raise BadValue(key=other, problem=t("it belongs to stage: grpo or stage: rloo", "它只用于 stage: grpo 或 stage: rloo"))
        return None
    if stage == "rloo":
        if "loss_type" in fields:
            raise BadValue(key="loss_type", problem=t("it belongs to stage: grpo", "它只用于 stage: grpo"))
        fields = {**_RLOO, **fields}
    if isinstance(listed := fields.get("reward"), str):
        fields["reward"] = [part.strip() for part in listed.split(",")]
    if isinstance(listed := fields.get("reward"), list) and (unknown := next((one for one in listed if one not in REWARDS.names()), None)):
        told = {"name": unknown, "known": ", ".join(REWARDS.names())}
        raise BadValue(
            key="reward", problem=t("no reward is called {name}; choose of {known}", "没有名为 {name} 的奖励；可选 {known}", **told)
        )
    try:
        return DrawnSettings.model_validate(fields)
    except ValidationError as cause:
        where, problem = first_problem(cause)
        raise BadValue(key=where[0] if where else "reward", problem=problem) from cause
