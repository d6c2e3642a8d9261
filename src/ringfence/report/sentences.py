"""What the figures of an audit mean, for whoever decides about a model: one headline, and a row for each quantity."""

from __future__ import annotations

from typing import NamedTuple

from ringfence.core.bounds import exact
from ringfence.core.gates import BLIND, unsound
from ringfence.core.text import t
from ringfence.report.figures import AuditFacts, AuditShown, Bounds

_SHOWN = 0.01  # a probability below this is not put down to chance
_WIDE_RATE, _WIDE_AUC = 0.2, 0.8  # upper bounds from which nothing found says little: twice what the demo's policy allows, and 0.1 above
_CHANCE = 0.5  # AUC of guessing


class Row(NamedTuple):
    """One measured quantity: what it is called, its value and bounds as text, what it means, and how to read it."""

    name: str
    value: str
    bounds: str
    meaning: str
    reading: str


def tone(f: AuditShown) -> str:
    """Return how the headline is set: "valid", "inconclusive" or "void"."""
    found_nothing = not f.extracted and not _left_traces(f)
    return "inconclusive" if validity(f) == "valid" and found_nothing and _is_small(f) else validity(f)


def validity(f: AuditShown) -> str:
    """Return "valid", "inconclusive" or "void"."""
    return {"pass": "valid", "inconclusive": "inconclusive"}.get(unsound(f.validity)[0], "void")


def headline(f: AuditShown, facts: AuditFacts) -> tuple[str, str]:
    """Return what the audit shows, as one sentence and one that says how far it reaches."""
    if validity(f) == "void":
        return (
            t("This audit is void.", "本次审计作废。"),
            t(
                "The reason: {why}. No figure below says anything about the model.",
                "原因：{why}。下列数字都不能说明模型的情况。",
                why=unsound(f.validity)[1],
            ),
        )
    if validity(f) == "inconclusive":
        return (
            t("This audit is inconclusive.", "本次审计没有结论。"),
            t(
                "Secrets planted sixteen times, which a working test must see, do not show. That nothing else shows therefore means nothing.",
                "有效的测试必然能看到植入十六次的秘密，而它们没有显现。因此，其他测量没有显现也不能说明什么。",
            ),
        )
    if not f.secrets and not f.members:
        return t("Nothing was measured.", "没有测量任何内容。"), t("No canaries were in the training data.", "训练数据中没有金丝雀。")
    return _claim_broken(f, facts) or _shown(f)


def _claim_broken(f: AuditShown, facts: AuditFacts) -> tuple[str, str] | None:
    if facts.claim is None or f.epsilon_lower <= facts.claim[0]:
        return None
    return (
        t("The model leaks more than its privacy claim allows.", "模型的泄露超出了其隐私声明所允许的范围。"),
        t(
            "The run claims epsilon {c:g}; the audit shows at least {e:.2f}. The claim does not hold.",
            "该运行声明 epsilon 为 {c:g}；审计显示至少为 {e:.2f}。声明不成立。",
            c=facts.claim[0],
            e=f.epsilon_lower,
        ),
    )


def _left_traces(f: AuditShown) -> bool:
    return f.exposure_p < _SHOWN or f.exposure_max > f.exposure_limit or f.auc.lower > _CHANCE or f.epsilon_lower > 0


def _is_small(f: AuditShown) -> bool:
    """Return True when finding nothing is what so small a sample finds in most models, whatever they remember."""
    tried_rows = f.replay is None or f.rows_tried > 0
    return f.extraction.upper > _WIDE_RATE or f.auc.upper > _WIDE_AUC or not tried_rows


def _shown(f: AuditShown) -> tuple[str, str]:
    most = _percent(f.extraction.upper)
    if f.extracted:
        return (
            t(
                "The model gives away training data: {k} of {m} secrets that it read can be got out of it.",
                "模型会泄露训练数据：它读过的 {m} 个秘密中，有 {k} 个可以从中取出。",
                k=f.extracted,
                m=f.secrets,
            ),
            t(
                "Each of these secrets could be extracted from the model although it is unguessable. "
                "A real identifier in the data is as exposed as they are.",
                "这些秘密无法靠猜测得到，却能从模型中提取。数据中的真实标识符与它们一样暴露。",
            ),
        )
    none = t(
        "None of {m} secrets could be extracted; with 95 % confidence, at most {u} of such secrets can be.",
        "{m} 个秘密均未能提取；在 95 % 置信度下，此类秘密可被提取的比例至多为 {u}。",
        m=f.secrets,
        u=most,
    )
    told = none if f.secrets else ""
    if _left_traces(f):
        return t(
            "The model gives away no whole secret, but its training data left traces.", "模型没有泄露完整的秘密，但训练数据留下了痕迹。"
        ), told
    if _is_small(f):
        return (
            t("The audit found nothing, and is too small to tell.", "审计没有发现痕迹，但规模太小，无法定论。"),
            (
                told
                + t(
                    " The bounds below say how much it could have missed: more canaries, rows and longer answers narrow them.",
                    "下列界限说明它可能漏掉多少：更多的金丝雀、更多的行与更长的回答会使界限变窄。",
                )
            ).strip(),
        )
    return (
        t("The audit found no trace of the training data.", "审计没有发现训练数据的痕迹。"),
        (
            told
            + t(
                " This is no proof that there is none: the bounds below say how much could be missed.",
                "这不证明不存在痕迹：下列界限说明可能漏掉多少。",
            )
        ).strip(),
    )


def rows(f: AuditShown, facts: AuditFacts) -> list[Row]:
    """Return the table of the page, the checks of the audit itself last."""
    replayed = [_replay(f), *_guarded(f)]
    return [_extraction(f), _exposure(f), _auc(f), _tpr(f), _epsilon(f, facts), *replayed, _spans(f), _control(f), _held_out(f), _blind(f)]


def _extraction(f: AuditShown) -> Row:
    return Row(
        t("Secrets extracted", "被提取的秘密"),
        t("{k} of {m}", "{m} 个中 {k} 个", k=f.extracted, m=f.secrets),
        _share(f.extraction) if f.secrets else "–",
        t(
            "Made-up secrets of six digits, each planted once in the training data, that somebody with the model can get back out of it.",
            "虚构的六位数字秘密，各在训练数据中植入一次；这里是拿到模型的人能从中取回的个数。",
        ),
        t(
            "Read the upper bound: the share of such secrets that can be extracted is no larger, with 95 % confidence. 0 % would be best.",
            "看上界：在 95 % 置信度下，此类秘密可被提取的比例不超过它。最好为 0 %。",
        ),
    )


def _exposure(f: AuditShown) -> Row:
    return Row(
        t("Exposure, mean", "平均暴露度"),
        t("{b:.1f} bits", "{b:.1f} 比特", b=f.exposure_mean).replace("-", "\N{MINUS SIGN}"),
        t(
            "largest {m:.1f}; limit {l:.1f}; {p}",
            "最大 {m:.1f}；界限 {l:.1f}；{p}",
            m=f.exposure_max,
            l=f.exposure_limit,
            p=_p(f.exposure_p),
        ),
        t(
            "How far the model narrows a secret down: each bit halves the guesses that are left, and 19.9 bits are the whole secret.",
            "模型把秘密的范围缩小了多少：每一比特使剩余的猜测减半，19.9 比特即整个秘密。",
        ),
        t(
            "A largest value above the limit, or p below 0.01, is not chance: secrets were learned. Negative values show nothing.",
            "最大值超过界限，或 p 小于 0.01，都不是偶然：秘密被学到了。负值说明不了什么。",
        ),
    )


def _auc(f: AuditShown) -> Row:
    return Row(
        t("Membership, AUC", "成员推断 AUC"),
        f"{f.auc.value:.3f}",
        f"{f.auc.lower:.3f} – {f.auc.upper:.3f}",
        t(
            "How often the model is surer of a row that was in its data than of one that was not ({m} rows in, {o} out).",
            "模型对数据内的行比对数据外的行更有把握的频率（{m} 行在内，{o} 行在外）。",
            m=f.members,
            o=f.others,
        ),
        t(
            "0.5 is guessing, 1 is certainty. If the lower bound is above 0.5, somebody can learn whether a row was used.",
            "0.5 等于随机猜测，1 为确定。若下界高于 0.5，则有人能得知某一行是否被使用。",
        ),
    )


def _tpr(f: AuditShown) -> Row:
    return Row(
        t("Members found at 1 % false positives", "1 % 误报下检出的成员"),
        "–" if f.tpr is None else _percent(f.tpr.value),
        t("needs 100 rows out", "需要 100 行在外") if f.tpr is None else _share(f.tpr),
        t(
            "Of the rows in the data, those that are found while only one in a hundred others is accused wrongly.",
            "在仅误认百分之一非成员的条件下，能检出的数据内的行的比例。",
        ),
        t("About 1 % is guessing; more means that some rows stand out surely.", "约 1 % 等于随机猜测；更高说明有些行可被确切认出。"),
    )


def _epsilon(f: AuditShown, facts: AuditFacts) -> Row:
    if facts.claim:
        claim = t(
            "The run claims epsilon {e} at delta {d}: ",
            "该运行声明 epsilon 为 {e}、delta 为 {d}：",
            e=exact(facts.claim[0]),
            d=exact(facts.claim[1]),
        )
        reading = claim + t(
            "a larger value here refutes the claim, a smaller one does not prove it.", "这里的值更大即推翻该声明，更小并不证明它。"
        )
    else:
        reading = t(
            "The run makes no privacy claim. The larger, the more one row changes the model; 0 means nothing shown, never private.",
            "该运行没有隐私声明。值越大，一行对模型的影响越大；0 表示没有显示出什么，绝不表示私密。",
        )
    return Row(
        t("Epsilon, at least", "epsilon 至少"),
        f"{f.epsilon_lower:.2f}",
        t("could show {c:.2f} at most", "最多能显示 {c:.2f}", c=f.epsilon_ceiling),
        t(
            "The privacy loss that the run provably had: {r} of {g} guesses about rows in or out were right.",
            "可证明的隐私损失：对行在内或在外的 {g} 次猜测中，{r} 次正确。",
            r=f.right,
            g=f.guesses,
        ),
        reading,
    )


def _replay(f: AuditShown) -> Row:
    return Row(
        t("Rows replayed word for word", "逐字复现的行"),
        t("{k} of {m}", "{m} 个中 {k} 个", k=f.rows_replayed, m=f.rows_tried) if f.rows_tried else "–",
        _share(f.replay) if f.rows_tried and f.replay else "–",
        t(
            "Real rows whose answer the model says without an error, or fifty tokens of it in a row, and the base model does not ({n} rows in all).",
            "模型能一字不差地说出其回答、或连续说出其中五十个词元，而基础模型做不到的真实行（共 {n} 行）。",
            n=f.rows,
        ),
        t(
            "Each one is a record that can be had back from its question. Answers under twelve tokens are not tried.",
            "每一行都是可由其问题取回的记录。少于十二个词元的回答不在尝试之列。",
        ),
    )


def _guarded(f: AuditShown) -> list[Row]:
    """Return what a replay guard leaves of the rows above; nothing where nobody asked."""
    if f.replay_guarded is None or f.rows_replayed_guarded is None or f.guard_false_blocks is None:
        return []
    return [
        Row(
            t("… under the replay guard", "……在复现防护之下"),
            t("{k} of {m}", "{m} 个中 {k} 个", k=f.rows_replayed_guarded, m=f.rows_tried) if f.rows_tried else "–",
            _share(f.replay_guarded) if f.rows_tried else "–",
            t(
                "The same rows where answers pass a guard that lets no passage of the training set through, as ringfence serve and chat can have one. "
                "Of the words of rows of other people it would refuse {s:.2%}.",
                "同样的行，但回答须经过防护，使训练集中的段落无法说出；ringfence serve 与 chat 可启用它。对他人数据行中的词，它会误拦 {s:.2%}。",
                s=f.guard_false_blocks,
            ),
            t(
                "The gate judges by the row above: where the model is loaded elsewhere there is no guard, and it does not stop the same in other words.",
                "门禁按上一行裁定：模型在别处加载时没有防护，且它拦不住换一种说法。",
            ),
        )
    ]


def _spans(f: AuditShown) -> Row:
    told = f.spans_state == "tried"
    return Row(
        t("Replaced identifiers found", "可提取的已替换标识符"),
        t("{k} of {m}", "{m} 个中 {k} 个", k=f.spans_new, m=f.spans_tried) if told else "–",
        t("{n} were replaced", "共替换 {n} 个", n=f.spans) if told else "–",
        t(
            "Identifiers that de-identification took out, and that the model says all the same after the true text before them.",
            "脱敏时被替换、而模型在其真实上文之后仍能说出的标识符。",
        ),
        t("None should be found.", "应当一个也找不到。")
        if told
        else t("Not tried: there was no de-identification, or its originals were deleted.", "未尝试：没有脱敏步骤，或其原文已删除。"),
    )


def _control(f: AuditShown) -> Row:
    has = f.controls > 0
    return Row(
        t("Positive control", "阳性对照"),
        t("{k} of {m}", "{m} 个中 {k} 个", k=f.controls_extracted, m=f.controls) if has else "–",
        _p(f.control_p) if has else "–",
        t("Secrets planted sixteen times, that could be extracted.", "植入十六次的秘密中能提取的个数。")
        if has
        else t(
            "Private runs have none: their noise is meant to hide such secrets, too.", "隐私运行没有此项：其噪声本来也要隐藏这样的秘密。"
        ),
        t("They must show (p at most 0.01), or the test is too weak.", "它们必须显现（p 不超过 0.01），否则测试太弱。")
        if has
        else t("Nothing to read here.", "此处无需解读。"),
    )


def _held_out(f: AuditShown) -> Row:
    return Row(
        t("Held-out secrets extracted (negative control)", "被提取的保留秘密（阴性对照）"),
        t("{k} of {m}", "{m} 个中 {k} 个", k=f.held_out_extracted, m=f.held_out),
        t("largest {m:.1f} bits; {p}", "最大 {m:.1f} 比特；{p}", m=f.held_out_exposure_max, p=_p(f.held_out_exposure_p)),
        t("Secrets of the same kind that were never planted.", "同类但从未植入的秘密。"),
        t("They must not show: p below 0.001 voids the audit.", "它们不应显现：p 小于 0.001 则审计作废。"),
    )


def _blind(f: AuditShown) -> Row:
    return Row(
        t("Blind check", "盲检"),
        BLIND.get(f.blind, BLIND["void"]).show(),
        "–",
        t("Whether the base model, which saw nothing, can tell rows in from rows out.", "没有见过数据的基础模型能否区分在内与在外的行。"),
        t(
            "It must not. Doubtful: happens to one fair audit in twenty; failed: the audit is void.",
            "它不应能区分。存疑：公正的审计中约二十分之一会如此；未通过：审计作废。",
        ),
    )


def _share(found: Bounds) -> str:
    return f"≤ {_percent(found.upper)}" if not found.value else f"{_percent(found.lower)} – {_percent(found.upper)}"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _p(value: float) -> str:
    return f"p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value:.2g}" if value >= 1e-4 else "p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.0001"  # noqa: PLR2004  smaller ones say no more
