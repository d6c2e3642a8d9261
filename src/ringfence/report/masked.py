"""A de-identification as sentences and as a page: what was replaced, what may be left, and not a word of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from pydantic import Field

from ringfence.core.order import Count, Counts
from ringfence.core.text import Text, t
from ringfence.report import html
from ringfence.report.figures import Bounds, Shown

_LESS = {  # ways to say less in the masked texts
    "age": Text("leaving out ages", "去掉年龄"),
    "sex": Text("leaving out sex", "去掉性别"),
    "region": Text("leaving out regions", "去掉地区"),
    "month": Text("leaving out dates", "去掉日期"),
    "band": Text("ages in bands of 20 years", "年龄按 20 岁分段"),
}
_LOOKS = {
    "age": Text("age", "年龄"),
    "sex": Text("sex", "性别"),
    "region": Text("Chinese province", "省份"),
    "month": Text("month or year of the first date", "首个日期的月份或年份"),
}
_LANGUAGES = {"zh": Text("Chinese", "中文"), "en": Text("English", "英文")}


class MaskedShown(Shown):
    """The figures of a de-identification that a page shows; their meaning: `DeidFigures`."""

    records: Count
    spans: Counts
    kept: Counts
    dropped: Count
    survivors: Count
    short_left: Count = 0
    characters: Count
    characters_changed: Count
    hidden: Counts = Field(default_factory=dict)
    hidden_found: Counts = Field(default_factory=dict)
    people: Count = 0
    looks_said: Counts = Field(
        default_factory=dict
    )  # a run of an earlier version has none: what it compared people by was not always true of them
    people_few: Count = 0
    few_without: Counts = Field(default_factory=dict)
    seen_first: Counts = Field(default_factory=dict)
    seen_second: Counts = Field(default_factory=dict)
    seen_both: Counts = Field(default_factory=dict)


@dataclass(frozen=True)
class MaskedFacts:
    """What was masked. Names that users chose are escaped on the page. recall: per kind, of planted identifiers."""

    run: str
    data_set: str
    profile: str
    parts: tuple[str, ...]
    source: str  # digest of the set that was read
    ended: str  # UTC
    statement: str  # digest of the signed statement
    version: str  # of ringfence
    recall: Mapping[str, Bounds]


def recall_text(found: int, tried: int, bounds: Bounds) -> str:
    """Return how many planted identifiers were found, and the share that is sure."""
    return t("{a} of {b}, at least {p:.1%}", "{b} 个中 {a} 个，至少 {p:.1%}", a=found, b=tried, p=bounds.lower)


def planted_sentence(f: MaskedShown, recall: Mapping[str, Bounds]) -> str | None:
    """Return how planted identifiers fared, the worst kind by name; None if none were planted."""
    if not f.hidden:
        return None
    worst = min(recall, key=lambda kind: (recall[kind].lower, kind))
    return t(
        "Of {n} different identifiers planted in copies of rows, {m} were found; the least sure is {kind}: {text}.",
        "在行的副本中植入的 {n} 个互不相同的标识符里找到 {m} 个；最不确定的是 {kind}：{text}。",
        n=sum(f.hidden.values()),
        m=sum(f.hidden_found.values()),
        kind=worst,
        text=recall_text(f.hidden_found.get(worst, 0), f.hidden[worst], recall[worst]),
    )


def short_sentence(f: MaskedShown) -> str | None:
    """Return where names stand that nobody looked for; None where there are none."""
    if not f.short_left:
        return None
    return t(
        "In {n} places the characters of a name of one word, or of two Chinese characters, stand outside the rows in which it was recognised: it is another word "
        "there, or the name.",
        "有 {n} 处出现了单个词或两个汉字的姓名所用的字，但不在识别出该姓名的行中：可能是普通词语，也可能就是该姓名。",
        n=f.short_left,
    )


def crowd_sentence(f: MaskedShown) -> str | None:
    """Return by what people were compared, how many stand out, and what would hide most of them; None where the masked texts say nothing to compare."""
    told = [name for name in _LOOKS if f.looks_said.get(name)]
    if not told:
        return None
    by = _listed([t("{name} (said of {n})", "{name}（{n} 人提及）", name=_LOOKS[name].show(), n=f.looks_said[name]) for name in told])
    first = (
        t(
            "By {by}, {few} of {people} people have fewer than four others like them.",
            "按{by}比较，{people} 人中有 {few} 人的同类不足五人。",
            by=by,
            few=f.people_few,
            people=f.people,
        )
        if f.people_few
        else t(
            "By {by}, each of {people} people has at least four others like them.",
            "按{by}比较，{people} 人中每个人都有至少四个同类。",
            by=by,
            people=f.people,
        )
    )
    sentences = [first]
    best = max(f.few_without, key=lambda way: (f.few_without[way], way), default="")
    if f.people_few and f.few_without.get(best):
        way = _LESS[best].show()
        sentences.append(
            t("{way} would hide {n} of them.", "{way}可使其中 {n} 人不再突出。", way=way[:1].upper() + way[1:], n=f.few_without[best])
        )
    if rest := [_LOOKS[name].show() for name in _LOOKS if name not in told]:
        sentences.append(
            t(
                "Not compared: {rest}, which the texts do not say, nobody looked for, or which are not true any more after replacement.",
                "未比较：{rest}（文本未提及、方案未查找，或替换后已不真实）。",
                rest=_listed(rest),
            )
        )
    return t(" ", "").join(sentences)


def _listed(words: list[str]) -> str:
    return t(", ", "、").join(words)


def taggers_sentences(f: MaskedShown) -> list[str]:
    """Return, per language with two taggers, of how many names of persons they disagree, and how many both may have missed."""
    return [
        t(
            "{language}: the two taggers saw {a} and {b} different names of persons, {both} of them both; {alone} rest on one of the two alone. If they erred "
            "independently, and found every name as easily as any other, about {x} more would have been seen by neither (Chapman). Neither is so: taggers miss the "
            "same names, and the number is then too low. Take it as a warning and not as a bound.",
            "{language}：两个标注器分别看到 {a} 与 {b} 个不同的人名，其中 {both} 个两者都看到，{alone} 个只靠其中之一。若两者的错误相互独立，且每个名字同样容易找到，"
            "则约有 {x} 个均未被看到（Chapman 估计）。实际并非如此：标注器往往漏掉相同的名字，此时该数偏低。请视为提示而非界限。",
            language=_LANGUAGES[language].show(),
            a=f.seen_first[language],
            b=f.seen_second[language],
            both=f.seen_both[language],
            alone=f.seen_first[language] + f.seen_second[language] - 2 * f.seen_both[language],
            x=unseen(f.seen_first[language], f.seen_second[language], f.seen_both[language]),
        )
        for language in sorted(f.seen_first)
        if language in _LANGUAGES and f.seen_both.get(language)
    ]


def unseen(first: int, second: int, both: int) -> int:
    """Return how many neither of two independent searches saw, rounded up. Source: Chapman 1951."""
    return max(0, -((first + 1) * (second + 1) // -(both + 1)) - 1 - (first + second - both))


def masked_page(f: MaskedShown, facts: MaskedFacts) -> str:
    """Return the page in the chosen language."""
    title = t("De-identification of {name}", "{name} 的脱敏", name=facts.data_set)
    headline = t(
        "{n} identifiers in {rows} rows were found and replaced; {left} of them are left.",
        "在 {rows} 行中找到并替换了 {n} 个标识符；其中残留 {left}。",
        n=sum(f.spans.values()),
        rows=f.records,
        left=f.survivors,
    )
    reach = t(
        "Every value that was found and is long enough to mean one thing was looked for again in the whole output, in other spellings, too. What nothing found cannot be counted: the planted identifiers below "
        "say how often that happens, and a sample that people read says it for the texts themselves. Pseudonymised is not anonymous.",
        "对找到且足够长、含义唯一的每个值，都在全部输出中再次查找，也查其他写法。没有被找到的无法计数：下面植入的标识符说明其发生的频率，由人阅读的抽样则针对文本本身说明。去标识化不等于匿名化。",
    )
    tone = "void" if f.survivors else "valid"
    return html.document(
        title,
        [
            html.said(headline, t(" ", "").join(filter(None, (reach, short_sentence(f)))), tone=tone),
            html.section("found", t("Found, by kind", "按类型统计"), _kinds(f, facts)),
            html.section("people", t("People who stand out", "突出的个人"), _people(f)),
            *(
                html.section("taggers", t("What two taggers see", "两个标注器所见"), "\n".join(_paragraphs(said)))
                for said in [taggers_sentences(f)]
                if said
            ),
            html.section("about", t("What was de-identified", "脱敏对象"), _about(f, facts)),
            html.footer(_foot(facts)),
        ],
    )


def _kinds(f: MaskedShown, facts: MaskedFacts) -> str:
    kinds = sorted(f.spans.keys() | f.kept.keys() | f.hidden.keys(), key=lambda kind: (-f.spans.get(kind, 0), -f.kept.get(kind, 0), kind))
    body = [(escape(kind), _count(f.spans, kind), _count(f.kept, kind), escape(_recall(f, facts, kind))) for kind in kinds]
    caption = t(
        "Planted: different identifiers of each kind as people write them, drawn without asking the recognisers, hidden in copies of this set's own rows and looked for in the same "
        "way; one that a recogniser refuses is a miss. The share is a one-sided bound at 95 % (Clopper-Pearson) for identifiers like these: yours may be written otherwise. "
        "Names of persons, organisations and places are planted in sentences of our own making: those of the rows may be harder. A dash: nothing was planted, nothing is known.",
        "植入：按人们的写法生成各类互不相同的标识符（生成时不询问识别器），藏入本数据集自身行的副本中，用同样方式查找；识别器不认的算作遗漏。"
        "比例为 95 % 的单侧界限（Clopper-Pearson），针对这类写法的标识符：你的数据写法可能不同。人名、机构名与地名植入于我们自造的句子中：行中的可能更难。短横：未植入，无从得知。",
    )
    names = [t("kind", "类型"), t("replaced", "替换"), t("kept by the profile", "按方案保留"), t("planted ones found", "找到的植入标识符")]
    return html.table(caption, names, body, kind="numbers named")


def _people(f: MaskedShown) -> str:
    rows = [
        (escape(text.show()), str(f.few_without[way]))
        for way, text in sorted(_LESS.items(), key=lambda pair: -f.few_without.get(pair[0], 0))
        if f.few_without.get(way)
    ]
    caption = t(
        "What would hide how many of them. A person is a unit of the import, or a row where none was named.",
        "各措施可使多少人不再突出。个人即导入时的单位；未指定单位时为一行。",
    )
    names = [t("saying less", "少说一些"), t("people", "人数")]
    none = t(
        "The masked texts say no age, sex, region or date that is true of a person and that the profile looked for: nothing can be said of who stands out.",
        "脱敏后的文本中没有方案查找过且仍然真实的年龄、性别、地区或日期：无法说明谁会突出。",
    )
    said = crowd_sentence(f)
    if said is None:
        return "\n".join(_paragraphs([none]))
    return "\n".join([*_paragraphs([said]), *([html.table(caption, names, rows, kind="numbers named")] if rows else [])])


def _about(f: MaskedShown, facts: MaskedFacts) -> str:
    share = f.characters_changed / f.characters if f.characters else 0.0
    return html.facts(
        [
            (t("data set", "数据集"), facts.data_set),
            (t("profile", "方案"), facts.profile),
            (t("taggers", "标注器"), ", ".join(facts.parts) or t("none", "无")),
            (t("characters changed", "改动的字符"), f"{share:.1%}"),
            (t("rows dropped", "丢弃的行"), str(f.dropped)),
            (t("read from", "读自"), facts.source),
            (t("run", "运行"), facts.run),
            (t("ended", "结束"), facts.ended),
            (t("signed statement", "签名声明"), facts.statement),
        ]
    )


def _foot(facts: MaskedFacts) -> str:
    return t(
        "Figures only: this page holds no text of a record. It is not signed; the statement named above is. Made by ringfence {v}.",
        "仅含数字：本页不含记录的任何原文。本页未签名；上面所列的声明已签名。由 ringfence {v} 生成。",
        v=facts.version,
    )


def _recall(f: MaskedShown, facts: MaskedFacts, kind: str) -> str:
    if kind not in f.hidden or kind not in facts.recall:
        return "–"
    return recall_text(f.hidden_found.get(kind, 0), f.hidden[kind], facts.recall[kind])


def _count(counts: Mapping[str, int], kind: str) -> str:
    return str(counts.get(kind, 0))  # a dash is for what nobody knows


def _paragraphs(sentences: list[str]) -> list[str]:
    return [f"<p>{escape(sentence)}</p>" for sentence in sentences]
