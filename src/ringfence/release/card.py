"""The model card of a bundle: what a reader must know, taken from the statements alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringfence.core.bounds import exact, rounded_up
from ringfence.core.lineage import last, lines
from ringfence.core.statement import Statement
from ringfence.core.text import Language, Text
from ringfence.core.verdict import Verdict
from ringfence.privacy.plan import DPPlan
from ringfence.release.formats import MERGED, OWN_WEIGHTS, REWARDS, Parity, gguf_file
from ringfence.release.manifest import BaseRef

_TEMPLATE = """\
---
base_model: {base_quoted}
library_name: {library}
license: {licence}
pipeline_tag: {pipeline}
tags:
- {tag}
- ringfence
---
# {name}

{kind} `{base}`, trained on private records inside their owner's boundary and released by ringfence. Every figure below is
taken from the signed statements in `evidence/`.

## What it is
| | |
|---|---|
| base model | `{base}` |
| digest of the base model | `{digest}` |
| method | {method} |
| chat template | {template} |
| training run | `{run}` |
| rows imported | {rows} |
| label of the data | {label} |
| sandbox | {sandbox} |

The records themselves are not part of this bundle.

## What was done before training
- scan: {scan}
- de-identification: {deid}

## Privacy and memorisation
- privacy: {privacy}
- memorisation: {memory}
- replay guard: {guard}

## Evaluation
{evaluation}

## Policy
| rule | verdict |
|---|---|
{verdicts}

## Formats
{formats}

## How to verify
Get the public key file from the owner by another way than this bundle, compare its fingerprint with them, then run

```
ringfence verify {name} --keys KEYS.json
```

The folder also carries an OpenSSF model signature; with the `release` key of that file saved as `release.pem`:

```
model_signing verify key {name} --signature {name}/model.sig --public_key release.pem
```

## Limits
- De-identification removes the kinds of identifiers that its profile names; anything else that a record said may have been learned.
- {limit}
- A scan finds the poisoning that its tests look for, and no other.
- The evidence shows what the owner's tools recorded. It does not vouch for an owner who changes the tools.

## 中文摘要
`{name}` 是 `{base}` 的{kind_zh}，在数据所有者的边界内用私有记录训练，由 ringfence 放行。

- 数据：导入 {rows_zh}，标签为 {label}；本包不含任何记录。
- 扫描：{scan_zh}
- 脱敏：{deid_zh}
- 对话模板：{template_zh}。
- 差分隐私：{privacy_zh}。
- 记忆泄露：{memory_zh}
- 格式：{formats_zh}
- 评估：{evaluation_zh}
- 复现防护：{guard_zh}
- 验证：向所有者另行索取公钥文件并核对指纹，然后运行 `ringfence verify {name} --keys KEYS.json`。
"""


_VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_ELSE = (
    "What else is here answered the same prompts, which everybody may read, as what was trained did; compared are the likeliest token at every place "
    "and the whole distribution (mean Kullback-Leibler divergence)."
)
_UNMEASURED = "Nobody measured how much of its training rows this model repeats. Keep it where its training data may be kept."
_MEASURED = (
    "The audit measured what the model does with invented canaries, and with samples of rows and identifiers; a bound at 95 % confidence is "
    "wrong once in twenty times, and an attack that nobody tried may find more."
)


def model_card(
    name: str,
    *,
    base: BaseRef,
    licence: str,
    chain: Sequence[Statement],
    audit: Statement | None = None,
    evaluation: tuple[Statement, Mapping[str, Any]] | None = None,
    verdicts: Sequence[Verdict],
    lifetime: Mapping[str, Any] | None = None,
    parity: Sequence[Parity] = (),
    is_guarded: bool = False,
) -> str:
    """Return the text of `README.md`.

    chain: the statements from import to train. audit: of the run, if it was audited. evaluation: of the run, with its opened
    figures, where they may leave. lifetime: of a private run, what its people have lost at the release, and
    whether a bound holds.
    parity: of every other format with the adapter. is_guarded: its owner serves it with a replay guard.
    licence: an identifier of the Hugging Face list, such as `apache-2.0`.
    It holds numbers, digests, part names and names that users chose; never a record or a path of the machine.
    """
    train = last(chain, "train")
    rows = _of_each_set(chain, _imported)
    scan = _of_each_set(chain, lambda branch: _scan(last(branch, "scan")))
    deid = _of_each_set(chain, lambda branch: _deid(last(branch, "deid")))
    memory = _memory(audit, train)
    privacy = _privacy(train, lifetime or {})
    evaluated = _evaluation(evaluation)
    return _TEMPLATE.format(
        name=name,
        base=base.name,
        base_quoted=json.dumps(base.name),
        licence=json.dumps(licence),
        digest=base.digest,
        method=_method(train),
        **_kind(train),
        template=_template(train).show("en"),
        template_zh=_template(train).show("zh"),
        run=train.predicate.run if train else "",
        rows=rows[0],
        rows_zh=rows[1],
        label=(train.predicate.label if train else None) or "none",
        sandbox=_sandbox(chain),
        scan=scan[0],
        scan_zh=scan[1],
        deid=deid[0],
        deid_zh=deid[1],
        privacy=privacy[0],
        privacy_zh=privacy[1],
        memory=memory[0],
        memory_zh=memory[1],
        evaluation=evaluated[0],
        evaluation_zh=evaluated[1],
        limit=_MEASURED if audit else _UNMEASURED,
        formats=_scores(name, base, train) if _is_reward(train) else _formats(parity, train, name=name),
        formats_zh=_scores_zh(train) if _is_reward(train) else _formats_zh(parity, train, name=name),
        guard=_guard(train, is_guarded=is_guarded)[0],
        guard_zh=_guard(train, is_guarded=is_guarded)[1],
        verdicts="\n".join(f"| {verdict.rule} | {verdict.outcome} |" for verdict in verdicts),
    )


_SCORES_ZH = "适配器连同其打分头 `score` 可由 transformers 与 peft 直接加载，代码见上；同一问题的两个回答之间，只有奖励之差有意义。"
_SCORES = """\
The adapter is a folder that stock `peft` loads, with the head `score` in it. The reward of a conversation is the model's one logit, in float32; only the
difference of two rewards for the same question means something. It writes no text.

```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer{imports}

BASE, BUNDLE = {base}, {name}  # folders
tokenizer = AutoTokenizer.from_pretrained(BUNDLE)
base = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1, dtype="float32"{held})
base.config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
model = PeftModel.from_pretrained(base, BUNDLE).eval()
turns = [{{"role": "user", "content": "Cough for three days?"}}, {{"role": "assistant", "content": "Rest, and drink."}}]
reward = float(model(**tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)).logits)
```"""


def _scores(name: str, base: BaseRef, train: Statement | None) -> str:
    """Return how a reward model is loaded; a test runs the code."""
    settings = train.predicate.settings if train else {}
    config, held = _config(settings), _held(settings)
    imports, asked = (", BitsAndBytesConfig", f", quantization_config={config}") if config else ("", "")
    code = _SCORES.format(base=json.dumps(base.name), name=json.dumps(name), imports=imports, held=asked)
    return code + (f"\n\n{held.en}" if held else "")


def _scores_zh(train: Statement | None) -> str:
    held = _held(train.predicate.settings if train else {})
    return _SCORES_ZH + (f"{held.zh}。" if held else "")


def _formats(parity: Sequence[Parity], train: Statement | None, *, name: str) -> str:
    """Return what other tools can load, and how like the adapter each of it answers."""
    adapter = "The adapter itself is a folder that stock `peft` loads. " + _vllm(train, name=name)
    lines_ = ["The weights are `merged/`, a folder that stock `transformers` and vLLM load." if _is_whole(train) else adapter]
    if held := _held(train.predicate.settings if train else {}):
        lines_ += ["", held.en]
    for told in _otherwise(train, name=name):
        lines_ += ["", f"{told.en}."]
    if parity:
        lines_ += [
            "",
            _ELSE,
            "",
            "| format | file | likeliest token the same | divergence, nats a token |",
            "|---|---|---|---|",
            *(f"| {one.format} | `{_where(one)}` | {one.same} of {one.tokens} | {one.divergence:.2g} |" for one in parity),
        ]
    return "\n".join(lines_)


def _formats_zh(parity: Sequence[Parity], train: Statement | None, *, name: str) -> str:
    told = [f"{one.format}（`{_where(one)}`，{one.tokens} 处中 {one.same} 处最可能的词元与训练所得相同）" for one in parity]
    held = _held(train.predicate.settings if train else {})
    adapter = "；".join(["适配器可由 peft 直接加载", *([held.zh] if held else []), *(one.zh for one in _otherwise(train, name=name))])
    return "；".join(["权重在 `merged/` 中，可由 transformers 直接加载" if _is_whole(train) else adapter, *told]) + "。"


_HELD = Text(
    "It was learned beside the base in {bits} bits of bitsandbytes, and every figure here is of that base. Stock `transformers` holds it so with `{config}`; "
    "beside the base as it is, the adapter answers otherwise. The merged and GGUF weights, where there are any, are of the base in {bits} bits.",
    "适配器是在 bitsandbytes {bits} 位量化的基础模型上训练的，此处所有数字均以该模型为准。transformers 以 `{config}` 加载同样的模型；"
    "与未量化的基础模型合用时，回答会不同。合并权重与 GGUF 权重（若有）均取自该 {bits} 位的基础模型",
)


_BEGINS = Text(
    "Beside the base, vLLM writes conversations by one chat template for all adapters, the base's own unless it is told of another: `--chat-template {name}/chat_template.jinja` "
    "(where `tokenizer_config.json` has several, a file with its `default`). Adapters whose conversations begin otherwise need a `vllm serve` of their own",
    "与基础模型合用时，vLLM 对所有适配器使用同一个对话模板，未另行指定则为基础模型自带的：须加 `--chat-template {name}/chat_template.jinja`（`tokenizer_config.json` 中有多个时，用内容为其 `default` 的文件）。"
    "对话开头不同的适配器须各用一个 `vllm serve`",
)
_ENDS = Text(
    "An answer ends with another token than the base's texts. `tokenizer_config.json` and `generation_config.json` here name it and the base's own files do not: beside the base, "
    '`transformers` is told by `generation_config=GenerationConfig.from_pretrained("{name}")`, vLLM by `--generation-config {name}`',
    "回答的结束词元与基础模型文本的不同。此处的 `tokenizer_config.json` 与 `generation_config.json` 已指明该词元，而基础模型自己的文件没有：与基础模型合用时，"
    '对 transformers 用 `generation_config=GenerationConfig.from_pretrained("{name}")`，对 vLLM 用 `--generation-config {name}` 指明',
)


def _otherwise(train: Statement | None, *, name: str) -> list[Text]:
    """Return in what an adapter's conversations are not what the base's own files say; of merged weights the files beside them say it."""
    if train is None or _is_whole(train):
        return []
    told = [_BEGINS] if "--chat-template" in _vllm(train, name=name) else []
    told += [_ENDS] if _closes(train) else []
    return [Text(one.show("en", name=name), one.show("zh", name=name)) for one in told]


def _closes(train: Statement | None) -> bool:
    """Return whether answers end with another token than the base's texts."""
    return train is not None and train.predicate.figures.get("closing") is not None


def _held(settings: Mapping[str, Any]) -> Text | None:
    """Return how the base has to be loaded for the adapter, where it was quantised in training."""
    if not (config := _config(settings)):
        return None
    return Text(*(_HELD.show(language, bits=_found(settings, "quantization_bit"), config=config) for language in ("en", "zh")))


def _config(settings: Mapping[str, Any]) -> str:
    """Return what stock transformers is told of a base that was quantised in training; nothing where it was not."""
    bits = _found(settings, "quantization_bit")
    if bits == 4:  # noqa: PLR2004  bits
        kind, double = _found(settings, "quantization_type"), _found(settings, "double_quantization")
        return f'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="{kind}", bnb_4bit_use_double_quant={double})'
    return "BitsAndBytesConfig(load_in_8bit=True)" if bits else ""


def _where(one: Parity) -> str:
    return f"{MERGED}/" if one.format == MERGED else gguf_file(one.format)


def _vllm(train: Statement | None, *, name: str) -> str:
    """Return whether and how vLLM serves the adapter: its loader refuses DoRA, and takes a rank up to one of its own (vLLM 0.33, config/lora.py and lora/peft_helper.py)."""
    settings = train.predicate.settings if train else {}
    if _found(settings, "method") == "dora.v1":
        return "vLLM does not load DoRA; it serves the merged weights."
    if _found(settings, "method") == "oft.v1":
        return "vLLM does not load OFT; it serves the merged weights."
    if _found(settings, "quantization_bit"):
        return "Let vLLM serve the merged weights: it would put the adapter beside the base as it is."
    rank = _rank(settings)
    if rank is None:
        return ""
    room = next((one for one in _VLLM_RANKS if one >= rank), None)
    if room is None:
        return f"vLLM takes no adapter of rank {rank}; it serves the merged weights."
    more = f" --chat-template {name}/chat_template.jinja" if _template(train) is _BEGUN else ""
    more += f" --generation-config {name}" if _closes(train) else ""
    return f"vLLM serves it with `--enable-lora --max-lora-rank {room}{more}`."


def _rank(settings: Mapping[str, Any]) -> int | None:
    """Return the rank of the adapter as it is saved."""
    rank = _found(settings, "lora_rank")
    return rank * (2 if _found(settings, "method") == "pissa.v1" else 1) if isinstance(rank, int) else None


def _of_each_set(chain: Sequence[Statement], tell: Callable[[Sequence[Statement]], tuple[str, str]]) -> tuple[str, str]:
    """Return what is told of the set, or of each of several that were joined by its name, in English and in Chinese."""
    branches, trunk = lines(chain)
    told = [tell([chain[n] for n in branch]) for branch in branches]
    if not trunk:
        return told[0]
    names = chain[trunk.start].predicate.settings.get("names", ())
    english, chinese = zip(*told, strict=True)
    return (
        "; ".join(f"`{name}`: {one}" for name, one in zip(names, english, strict=True)),
        "；".join(f"`{name}`：{one}" for name, one in zip(names, chinese, strict=True)),
    )


def _imported(branch: Sequence[Statement]) -> tuple[str, str]:
    rows = _number(last(branch, "import"), "rows")
    return rows or "not recorded", f"{rows or '若干'} 行"


def _number(statement: Statement | None, figure: str) -> str:
    """Return a recorded whole number as text, or nothing."""
    value = statement.predicate.figures.get(figure) if statement else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _kind(train: Statement | None) -> dict[str, str]:
    """Return what the bundle is, in the words of both languages and of the model card's front matter."""
    if _is_whole(train):
        told = {"kind": "A fine-tuned copy of", "kind_zh": "微调副本", "library": "transformers", "tag": "fine-tuned"}
    elif train is not None and "oft.v1" in train.predicate.parts:
        told = {"kind": "An OFT adapter for", "kind_zh": " OFT 适配器", "library": "peft", "tag": "oft"}
    else:
        told = {"kind": "A LoRA adapter for", "kind_zh": " LoRA 适配器", "library": "peft", "tag": "lora"}
    if _is_reward(train):
        more = {
            "kind": f"A reward model, which scores answers: {told['kind'][0].lower()}{told['kind'][1:]}",
            "pipeline": "text-classification",
        }
        return told | more | {"kind_zh": f"{told['kind_zh']}（为回答打分的奖励模型）"}
    return told | {"pipeline": "text-generation"}


def _is_reward(train: Statement | None) -> bool:
    return train is not None and bool(REWARDS.intersection(train.predicate.parts))


def _is_whole(train: Statement | None) -> bool:
    return train is not None and bool(OWN_WEIGHTS.intersection(train.predicate.parts))


def _method(train: Statement | None) -> str:
    if train is None:
        return "LoRA"
    if _is_whole(train) or "oft.v1" in train.predicate.parts:
        return ", ".join(f"`{part}`" for part in train.predicate.parts)
    parts = ", ".join(f"`{part}`" for part in train.predicate.parts)
    rank = _found(train.predicate.settings, "lora_rank")
    return "LoRA" + (f", rank {rank}" if isinstance(rank, int) else "") + (f" ({parts})" if parts else "")


_OWN = Text("the base model's own", "基础模型自带的模板")
_BEGUN = Text(
    "`chat_template.jinja`, or `tokenizer_config.json` where there are several: the base model's own, which begins with the recipe's words where a conversation "
    "does not say them itself",
    "`chat_template.jinja`；模板有多个时为 `tokenizer_config.json`：基础模型自带的模板，对话自身未说明时以配方中的内容开头",
)


def _template(train: Statement | None) -> Text:
    """Return by which chat template the model was trained."""
    settings = train.predicate.settings if train else {}
    return _BEGUN if _found(settings, "default_system") or _found(settings, "enable_thinking") is False else _OWN


def _found(settings: Mapping[str, Any], key: str) -> object:
    """Return a setting by its name, at whatever depth an arrow keeps it."""
    inner = (_found(value, key) for value in settings.values() if isinstance(value, Mapping))
    return settings[key] if key in settings else next((value for value in inner if value is not None), None)


_HOLDS = Text("The lifetime bound on the people in the data{limit} held at the release", "放行时，数据中这批人的终身上限{limit}有效")
_LIMIT = Text(", ε = {epsilon} at δ = {delta},", "（ε = {epsilon}，δ = {delta}）")
_NONE = Text("No lifetime bound is in force: the policy at the release has no budget", "没有生效的终身上限：放行时的策略没有预算")
_VOID = Text("The lifetime bound is void: {why}", "终身上限已失效：{why}")
_ORDINARY = Text("an ordinary run on the same people was released", "同一批人的普通运行已被放行")
_WITH_GUARD = Text(
    "a private run on the same people was released with a replay guard, which tells members from others",
    "同一批人的隐私运行已带复现防护放行，而防护会透露谁是成员",
)
_EXCEEDED = Text("The lifetime bound does not hold: more is spent than the budget allows", "终身上限不成立：已用超过预算")
_UNKNOWN = Text(
    "The lifetime bound is not known: other private runs on the same rows promised per record or per another unit, and one person may have many",
    "终身上限无从得知：同样的行上另有按记录或其他单位承诺的隐私运行，而一个人可能对应多个",
)
_BOUNDS = {"holds": _HOLDS, "exceeded": _EXCEEDED, "none": _NONE, "unknown": _UNKNOWN, "void": _VOID}
_COVERED = Text(
    "{promise}. It covers the weights. Not covered: the numbers of rows and the times in the statements, the verdicts below and the choice to "
    "release; the choice of hyper-parameters, and ordinary runs on the same rows that were made for it and stayed inside; and, of a total of several runs, that "
    "noise, rate and steps of one may have been chosen after seeing what earlier ones gave: it is proved for those that are fixed beforehand. {spent}{bound}",
    "{promise}。保证及于权重；声明中的行数与时间、下列判定与放行的决定，超参数的选择以及为此在同样的行上所做而留在内部的普通运行，均不在保证之内；"
    "多次运行的合计只对事先固定的噪声、抽样率与步数得到证明，不涵盖看过先前结果后的选择。{spent}{bound}",
)
_GRANTED = Text("{granted} of the plan's {steps} steps were spent. ", "计划的 {steps} 步中已用 {granted} 步。")
_ONE_RUN = Text(
    "1 private run used these people's data so far, this one; it spent at most ε = {epsilon} at δ = {delta:g}. ",
    "至今只有本次隐私运行用过这批人的数据；至多用去 ε = {epsilon}（δ = {delta:g}）。",
)
_RUNS = Text(
    "{runs} private runs used these people's data so far (tuning runs, failed and resumed ones included); together they spent at most "
    "ε = {epsilon} at δ = {delta:g}. ",
    "至今有 {runs} 次隐私运行用过这批人的数据（含调参、失败与续训的运行）；合计至多用去 ε = {epsilon}（δ = {delta:g}）。",
)
_BEYOND = Text("over 1000", "超过 1000")


def _privacy(train: Statement | None, lifetime: Mapping[str, Any]) -> tuple[str, str]:
    figures = train.predicate.figures if train else {}
    if "plan" not in figures:
        return "ordinary run, no differential privacy guarantee", "普通训练，没有差分隐私保证"
    plan = DPPlan.model_validate(figures["plan"])

    def told(language: Language) -> str:
        spent = _GRANTED.show(language, granted=figures["granted"], steps=plan.steps) if "granted" in figures else ""
        spent += _together(lifetime, language)
        return _COVERED.show(language, promise=plan.statement(language), spent=spent, bound=_bound(lifetime, language))

    return told("en"), told("zh")


def _bound(lifetime: Mapping[str, Any], language: Language) -> str:
    """Return whether a budget bounded what the people in the data lose over a lifetime, and by how much; statements of before do not tell how much."""
    limit = _LIMIT.show(language, **{key: exact(value) for key, value in lifetime["limit"].items()}) if lifetime.get("limit") else ""
    guarded = bool(lifetime.get("guarded_releases"))
    reasons = [_ORDINARY] * bool(lifetime.get("ordinary_releases") or not guarded) + [_WITH_GUARD] * guarded
    why = ("; " if language == "en" else "；").join(one.show(language) for one in reasons)
    return _BOUNDS.get(lifetime.get("bound", "holds"), _UNKNOWN).show(language, limit=limit, why=why)


def _together(lifetime: Mapping[str, Any], language: Language) -> str:
    """Return what all private runs cost the people in the data; nothing where a statement of before does not tell it."""
    if "private_runs" not in lifetime:
        return ""
    runs, epsilon = lifetime["private_runs"], lifetime["epsilon"]
    told = _BEYOND.show(language) if epsilon is None else f"{rounded_up(epsilon, 3):g}"
    return (_ONE_RUN if runs == 1 else _RUNS).show(language, runs=runs, epsilon=told, delta=lifetime["delta"])


_RANKED = Text(
    ". The attacks ask for scores: a secret counts as extracted where none of 1,023 other codes (of 8,191 for the first four such secrets) scores as high, a row as a member by how much more its "
    "own code is preferred than before training",
    "攻击以分数为准：若 1,023 个其他代码（最先四个这样的秘密为 8,191 个）中没有一个得分与之相当，秘密即计为可提取；成员身份以自身代码比训练前多受偏好的程度判断。",
)


def _memory(audit: Statement | None, train: Statement | None) -> tuple[str, str]:
    if audit is None:
        return "not audited", "未经审计。请把它放在训练数据可以存放的地方。"
    f = audit.predicate.figures
    facts = {
        "k": f["extracted"],
        "m": f["secrets"],
        "u": f["extraction"]["upper"],
        "mean": f["exposure_mean"],
        "most": f["exposure_max"],
        "limit": f["exposure_limit"],
        "auc": f["auc"]["value"],
        "a": f["auc"]["lower"],
        "b": f["auc"]["upper"],
        "rows": f["members"] + f["others"],
        "e": f["epsilon_lower"],
        "c": f["epsilon_ceiling"],
    }
    english = (
        "audited by run `{run}` with canaries: {k} of {m} secrets that were planted once can be extracted, at most {u:.1%} of such secrets at 95 % "
        "confidence; certified exposure {mean:.1f} bits on average and {most:.1f} at most, where chance reaches {limit:.1f}; membership AUC {auc:.3f} "
        "({a:.3f} to {b:.3f}) on {rows} rows; the run was not private for any epsilon below {e:.2f}, and these canaries could have shown {c:.2f}"
    )
    chinese = (
        "经运行 `{run}` 用金丝雀审计：{m} 个植入一次的秘密中可提取 {k} 个，95 % 置信度下至多 {u:.1%}；可证暴露度平均 {mean:.1f} 比特、最大 {most:.1f} 比特，"
        "偶然可达 {limit:.1f}；{rows} 行上的成员推断 AUC {auc:.3f}（{a:.3f} 至 {b:.3f}）；epsilon 经验下界 {e:.2f}，这些金丝雀至多能显示 {c:.2f}。"
    )
    told = english.format(run=audit.predicate.run, **facts), chinese.format(run=audit.predicate.run, **facts)
    return (told[0] + _RANKED.en, told[1] + _RANKED.zh) if _is_reward(train) else told


_FIGURES = (  # of an evaluation: name, and how a number is written
    ("loss", "loss per token, nats", "每词元损失", ".4f"),
    ("perplexity", "perplexity", "困惑度", ".2f"),
    ("accuracy", "pairs whose preferred answer scores higher", "排序正确的对", ".1%"),
    ("margin", "margin of a pair", "每对的间隔", ".4f"),
    ("exact_match", "exact match", "精确匹配", ".1%"),
    ("rouge_l", "ROUGE-L", "ROUGE-L", ".4f"),
    ("bleu", "BLEU", "BLEU", ".2f"),
)


_GREEDY = "Answers are greedy."
_JUDGED = "The base scores by the head with which training began."


def _named(key: str, name: str, found: Mapping[str, Any]) -> str:
    """Return what a figure is called beside the others of its evaluation."""
    if key == "bleu":
        return f"BLEU ({found['bleu_tokens']})"
    return {"loss per token, nats": "loss per pair, nats", "每词元损失": "每对损失"}.get(name, name) if found.get("accuracy") else name


def _evaluation(evaluation: tuple[Statement, Mapping[str, Any]] | None) -> tuple[str, str]:
    """Return a table in English, and a sentence in Chinese."""
    if evaluation is None:
        return "No evaluation that may be told.", "没有可公开的评估。"
    statement, found = evaluation
    there = [(key, *(_named(key, name, found) for name in names), form) for key, *names, form in _FIGURES if found.get(key)]
    facts = {
        "run": statement.predicate.run,
        "rows": found["rows_scored"],
        "units": found["units_scored"],
        "set": statement.predicate.inputs["rows"][:16],
        "seen": found.get("rows_seen"),
    }
    english = (
        "Run `{run}` on {rows} rows of {units} units of the set `{set}`, of which {seen} were learned from; 95 % intervals of a bootstrap over units. "
        "{how}\n\n| | base | this model | difference |\n|---|---|---|---|\n"
    ).format(
        **facts
        | {"seen": "an unknown number" if facts["seen"] is None else facts["seen"], "how": _JUDGED if found.get("accuracy") else _GREEDY}
    )
    chinese = "运行 `{run}`，{units} 个单位的 {rows} 行，其中训练过 {seen} 行；基础模型 → 本模型：".format(
        **facts | {"seen": "若干" if facts["seen"] is None else facts["seen"]}
    )
    rows = [
        f"| {name} | " + " | ".join(_told(found[key][side], form) for side in ("base", "tuned", "difference")) + " |"
        for key, name, _, form in there
    ]
    changes = [f"{name} {found[key]['base']['value']:{form}} → {found[key]['tuned']['value']:{form}}" for key, _, name, form in there]
    return english + "\n".join(rows), chinese + "，".join(changes) + "。"


def _told(estimate: Mapping[str, Any], form: str) -> str:
    """Return a figure with its interval, where it has one."""
    value, lower, upper = (estimate[key] for key in ("value", "lower", "upper"))
    return f"{value:{form}}" if lower is None else f"{value:{form}} [{lower:{form}}, {upper:{form}}]"


_UNGUARDED = Text("none is part of this bundle", "本包不含防护")
_GUARDED = Text(
    "where its owner serves it, a token that would complete a run of words of the training set is refused; it stops copies, not paraphrases, and is no part "
    "of this bundle",
    "由其所有者提供服务时，会补全训练集中一段词语的词元将被拒绝；它只拦截原样复制，不拦截改写，且不在本包之中",
)
_NOT_COVERED = Text(
    ". Which answers it changes depends on the training rows, and epsilon does not cover that",
    "。哪些回答被改动取决于训练行，epsilon 不涵盖这一点",
)


def _guard(train: Statement | None, *, is_guarded: bool) -> tuple[str, str]:
    if not is_guarded:
        return _UNGUARDED.en, _UNGUARDED.zh
    is_private = train is not None and "plan" in train.predicate.figures
    return _GUARDED.en + _NOT_COVERED.en * is_private, _GUARDED.zh + _NOT_COVERED.zh * is_private


def _scan(scan: Statement | None) -> tuple[str, str]:
    if scan is None:
        return "not scanned", "未扫描"
    parts = ", ".join(f"`{part}`" for part in scan.predicate.parts) or "no named test"
    return f"for poisoned rows, by {parts}", f"已用 {parts} 查找投毒行"


def _deid(deid: Statement | None) -> tuple[str, str]:
    if deid is None:
        return "not de-identified", "未脱敏"
    profile, left = deid.predicate.settings.get("profile"), _number(deid, "survivors")
    return (
        f"profile `{profile}`; {left or 'an unrecorded number of'} originals survived the re-scan",
        f"方案 `{profile}`；复扫后残留原文 {left or '数量未记录'} 处",
    )


def _sandbox(chain: Sequence[Statement]) -> str:
    tiers = {report.tier if (report := statement.predicate.sandbox) else "none" for statement in chain}
    return f"every step ran in tier {tiers.pop()}" if len(tiers) == 1 else f"tiers {', '.join(sorted(tiers))}"
