"""Results for people: the closed names of results in the reader's language, one a line. Scripts see the English names in JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.cli.context import options
from ringfence.core.bounds import bound_told
from ringfence.core.errors import ROW_REASONS, RUN_STATES
from ringfence.core.text import chosen, t

_LONGEST = 120  # columns of a value; --verbose shows the rest

_CHINESE: Mapping[str, str] = {
    **{name: text.zh for name, text in (RUN_STATES | ROW_REASONS).items()},
    # objects and bundles
    "there": "存在",
    "deleted": "已删除",
    "gone": "已不在",
    "name": "名称",
    "digest": "摘要",
    "label": "标签",
    "files": "文件数",
    "bytes": "字节",
    # keys
    "tenant": "租户",
    "fingerprint": "指纹",
    "tenant_key_version": "租户密钥版本",
    "object_keys": "对象密钥数",
    "solo": "一人兼任",
    # a run
    "run": "运行",
    "arrow": "步骤",
    "set": "数据集",
    "state": "状态",
    "started": "开始",
    "ended": "结束",
    "code": "代码",
    "inputs": "输入",
    "made": "生成",
    "statement": "声明",
    "figures": "指标",
    "account": "账户",
    "adapter": "适配器",
    "checkpoint": "检查点",
    "evaluation": "评估集",
    "quarantine": "隔离集",
    "spans": "标识符",
    "step": "步数",
    # its sandbox
    "sandbox": "沙箱",
    "tier": "等级",
    "self_test": "自检",
    "gpus": "GPU",
    "namespace_differs": "网络命名空间不同",
    "interfaces": "网络接口",
    "ipv4": "IPv4 连接",
    "ipv6": "IPv6 连接",
    "environment": "环境变量",
    "no_new_privileges": "不得提权",
    "seccomp": "系统调用过滤",
    # its seconds
    "seconds": "用时（秒）",
    "job": "作业",
    "cpu job": "作业（处理器）",
    "collect": "收取结果",
    # figures of import, scan and deid
    "format": "文件格式",
    "layout": "行格式",
    "rows": "行数",
    "refused": "被拒的行",
    "reasons": "拒绝原因",
    "row_numbers": "各原因最先被拒的行号",
    "duplicates": "重复的行",
    "units": "单位数",
    "has_unit": "含单位列",
    "max_rows_per_unit": "单位最大行数",
    "cleared": "过检的行",
    "flagged": "被标记的行",
    "by_part": "各检测器标记的行",
    "records": "记录数",
    "characters": "字符数",
    "characters_changed": "改动的字符",
    "survivors": "残留原文",
    "short_left": "过短姓名的其他出现处",
    "engine": "引擎",
    "asked": "询问的替代值",
    "revealed": "还原的替代值",
    "ambiguous": "多个原文共用的替代值",
    "hidden": "植入的不同标识符",
    "hidden_found": "找到的植入标识符",
    "people": "人数（无单位时为行数）",
    "looks_said": "比较依据及提及人数",
    "people_few": "不足五人相同的人数",
    "few_without": "少说一些可减少的人数",
    "seen_first": "第一标注器所见不同人名",
    "seen_second": "第二标注器所见不同人名",
    "seen_both": "两者皆见的不同人名",
    "review": "审阅",
    "sample": "样本行数",
    "reviewed": "已审阅的行",
    "counted": "计入的行",
    "leaking": "有泄露的行",
    "leaks": "泄露处",
    "rejected": "非标识符处",
    "retyped": "类型已改处",
    "leaks_by_kind": "各类型的泄露",
    "by": "抽样方式",
    "other_draws": "另抽取的样本数",
    "bound_rows": "残留上限（行）",
    "bound_share": "残留上限（比例）",
    "bound_of_source": "同源数据的残留上限",
    # the card of a tagger
    "tagger": "标注器",
    "documents": "文档数",
    "moved": "移走的近似重复文档",
    "shared": "两侧相同的比例",
    "ignored": "由规则识别、未学习的标注",
    "zh": "中文",
    "en": "英文",
    "unreviewed": "无人校对的文本",
    "taught_on": "学习的句子",
    "measured_on": "度量的句子",
    "labelled": "标注数",
    "identifying": "敏感字符",
    "plain": "其余字符",
    "learnt": "自有标注器",
    "shipped": "自带标注器",
    "together": "两者合用",
    "found": "找到",
    "exact": "完全一致",
    "covered": "完全遮住",
    "missed": "漏掉的字符",
    "over": "多遮的字符",
    "seconds_learning": "学习用时（秒）",
    # figures of internal terms
    "records_read": "读取的记录",
    "candidates": "候选",
    "strong": "强候选",
    "shown": "显示数",
    "terms": "术语数",
    "accepted": "接受的术语",
    "generalised": "泛化的术语",
    "changed": "更改的决定",
    "kept": "保留",
    "strong_left": "未决定的强候选",
    "dictionary": "术语词典",
    # figures of training, models and chat
    "steps": "步数",
    "dropped": "无回答的行",
    "truncated": "截断的行",
    "tokens_cut": "截去的词元",
    "longest": "最长行的词元",
    "tokens": "词元数",
    "parity": "一致性",
    "same": "最可能词元相同处",
    "divergence": "散度",
    "same_ids": "分词相同",
    "losses": "损失",
    "losses_every": "记录间隔（步）",
    "rewards": "奖励",
    "rewards_last": "最后的各项奖励",
    "kls": "与基础模型的 KL",
    "answer_tokens": "回答的词元数",
    "loss_first": "首步损失",
    "loss_last": "末步损失",
    "eval_before": "训练前留出集损失",
    "eval_after": "训练后留出集损失",
    "eval_error": "训练后留出集损失的标准误",
    "eval_rows": "留出集行数",
    "eval_units": "留出集单位数",
    "eval_losses": "途中留出集损失",
    "eval_at": "途中评估于（步）",
    "best_step": "所保留权重的步",
    "resumed_from": "从此步继续",
    "trainable": "可训练参数",
    "closing": "回答的结束词元",
    "learning_rate": "最高学习率",
    "seconds_load": "加载（秒）",
    "seconds_per_step": "每步（秒）",
    "seconds_evaluation": "评估（秒）",
    "seconds_directions": "寻找方向用时（秒）",
    "directions": "寻找方向次数",
    "seconds_clip": "裁剪（秒）",
    "seconds_of_controls": "各项用时（秒）",
    "seconds_noise": "噪声（秒）",
    "peak_memory": "内存峰值（字节）",
    "peak_gpu_memory": "显存峰值（字节）",
    "processes": "进程数",
    "device": "设备",
    "dtype": "数值类型",
    "parameters": "参数量",
    "tensors": "张量数",
    "layers": "层数",
    "vocabulary": "词表大小",
    "turns": "轮数",
    # a base model
    "decoder": "语言模型",
    "aliases": "别名",
    "kind": "类型",
    "architecture": "架构",
    "context": "上下文长度",
    "chat template": "对话模板",
    "licence": "许可证",
    "source": "来源",
    "provenance": "来处",
    "imported": "导入时间",
    "signed by": "签名者",
    "left out": "未保留的已签名文件",
    "pass": "通过",
    "warn": "注意",
    "fail": "不通过",
    "answers": "回答数",
    "masked": "已遮盖的标识符",
    "blocked": "拒绝的词元",
    # the replay guard
    "guard": "复现防护",
    "row_words": "各行词数",
    "ngrams": "所存词串",
    "common_ngrams": "多人共有的词串",
    "false_blocks": "误拦率",
    "guard_bytes": "防护字节数",
    # canaries
    "planted": "植入的行",
    "register": "登记册",
    "secrets": "植入的秘密",
    "held_out": "保留的秘密",
    "extracted": "被提取的秘密",
    "extraction": "提取率",
    "held_out_extracted": "被提取的保留秘密",
    "exposure_mean": "平均暴露度（比特）",
    "exposure_max": "最大暴露度（比特）",
    "exposure_p": "暴露度的 p 值",
    "exposure_limit": "暴露度界限（比特）",
    "held_out_exposure_max": "保留秘密的最大暴露度",
    "held_out_exposure_p": "保留秘密暴露度的 p 值",
    "members": "在内的行",
    "others": "在外的行",
    "auc": "成员推断 AUC",
    "tpr": "1 % 误报下的检出率",
    "guesses": "猜测数",
    "right": "猜对数",
    "epsilon_lower": "epsilon 下界",
    "epsilon_ceiling": "epsilon 可证上限",
    "controls": "阳性对照",
    "controls_extracted": "被提取的阳性对照",
    "control_p": "阳性对照的 p 值",
    "blind": "盲检",
    "validity": "有效性",
    "rows_tried": "尝试的行",
    "rows_short": "回答过短的行",
    "rows_replayed": "逐字复现的行",
    "rows_known": "基础模型也会说的行",
    "rows_within": "采样可得的行",
    "replay": "复现率",
    "rows_replayed_guarded": "防护下逐字复现的行",
    "replay_guarded": "防护下的复现率",
    "guard_false_blocks": "防护的误拦率",
    "spans_tried": "尝试的标识符",
    "spans_new": "可提取的标识符",
    "spans_state": "标识符检查",
    "filter": "金丝雀过滤器",
    "exposures_in": "植入秘密的暴露度",
    "exposures_out": "保留秘密的暴露度",
    "scores_in": "在内行的得分",
    "scores_out": "在外行的得分",
    "value": "数值",
    "lower": "下界",
    "upper": "上界",
    "level": "置信度",
    # evaluations
    "audits": "审计",
    "evaluations": "评估",
    "rows_scored": "计算损失的行",
    "units_scored": "计算损失的行所属单位数",
    "rows_cut": "截断的行",
    "tokens_scored": "计算损失的词元",
    "loss": "损失（每词元或每对，自然对数）",
    "perplexity": "困惑度",
    "accuracy": "排序正确的对",
    "margin": "每对的间隔",
    "rows_answered": "作答的行",
    "units_answered": "作答的行所属单位数",
    "rows_unasked": "未作答的行",
    "unended": "未结束的回答",
    "exact_match": "精确匹配",
    "rouge_l": "ROUGE-L 得分",
    "bleu": "BLEU 得分",
    "bleu_tokens": "BLEU 的分词",
    "base": "基础模型",
    "tuned": "微调后",
    "difference": "差",
    "rows_seen": "训练过的行",
    "rows_of_seen_units": "所属的人曾用于训练的行",
    "stays_inside": "须留在内部",
    "stays_inside_because": "留在内部的原因",
    "seen_in_training": "含训练过的行",
    "seconds_loss": "计算损失（秒）",
    "seconds_answers": "作答（秒）",
    # the promise of a private run
    "plan": "隐私计划",
    "unit": "单位",
    "clip_norm": "裁剪范数",
    "clipping": "裁剪方式",
    "scope": "承诺所及的记录",
    "sampling_rate": "抽样率",
    "max_batch": "每步单位上限",
    "noise_multiplier": "噪声乘数",
    "not_private": "不受 ε 保护，须留在内部",
    "neighbouring": "相邻关系",
    "sampling": "抽样",
    "accountant": "核算",
    "granted": "已授予的步数",
    "lifetime": "终身上限",
    "bound": "是否有效",
    "limit": "有效的上限",
    "ordinary_releases": "普通运行的放行数",
    "guarded_releases": "带复现防护的隐私运行放行数",
    "private_runs": "隐私运行数",
}


def word(name: str) -> str:
    """Return a name in the reader's language; what the user chose (a set, a part, a kind of identifier) stays as it is."""
    if chosen() != "zh":
        return name
    kind = name.rstrip("0123456789")  # of several inputs of a kind: set, set2, set3
    return _CHINESE.get(name) or _CHINESE.get(kind, kind) + name[len(kind) :]


def lifetime_told(account: Mapping[str, Any]) -> str:
    """Return whether the budget of an account bounds what its people lose over a lifetime. account: a row of its table."""
    return bound_told(account["bound"], voided_by=account["voided_by"], guarded=account["guarded_releases"], runs=account["finer_runs"])


def lines(found: Mapping[str, object], *, indent: int = 0) -> Iterator[str]:
    """Yield one line for every name and value; a mapping stands indented below its name, and what is None is left out."""
    there = {key: value for key, value in found.items() if value is not None}
    width = max((columns(word(key)) for key in there), default=0)
    for key, value in there.items():
        if isinstance(value, Mapping) and value:
            yield " " * indent + word(key)
            yield from lines(value, indent=indent + 2)
        else:
            shown = word(str(value)) if key == "state" else _brief(value)
            yield " " * indent + padded(word(key), width) + "  " + shown


def columns(text: str) -> int:
    """Return how many columns a terminal needs: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, width: int) -> str:
    """Return the text with spaces up to so many columns."""
    return text + " " * (width - columns(text))


def _brief(value: object) -> str:
    if isinstance(value, bool):
        return t("yes", "是") if value else t("no", "否")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        value = ", ".join(f"{one:.4g}" if isinstance(one, float) else str(one) for one in value)
    text = str(value) if value or value == 0 else "-"
    return text if options().verbose or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
