"""How many invented internal terms `deid terms discover` ranks among its first 50, 200 and 500, and at what cost.

Run: python benchmarks/deid_terms.py DATA [--generator NAME] [--seeds N] [--quick] [--show N] >> benchmarks/results.jsonl
DATA is a folder with the sets that docs/experiment-log.md names. Into real texts of each set 30 invented terms are planted 3 to 9 times each, by
one of three generators with term shapes and sentences of their own. `discover.py` was changed while the figures of the first and the second one
were seen; the third was written afterwards, and nothing was changed since: its figures count. A term is found where a candidate is it, but for
case and separators. Terms whose every occurrence the recognisers and taggers mask are no candidates any more: they count as not found, and
`recall@50_of_the_rest` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from frame import tell
from frame.mix import DATA

from ringfence.core.records import Record
from ringfence.deid import discover
from ringfence.deid.candidates import blanked
from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for
from ringfence.deid.terms import normal

_TERMS = 30
_RANKS = (50, 200, 500)


class Generator(NamedTuple):
    """Terms of an invented organisation and what is said around them. `{}` is the term, `<name>` a list of fillers."""

    zh: Callable[[random.Random], str]
    en: Callable[[random.Random], str]
    around_zh: tuple[str, ...]
    around_en: tuple[str, ...]
    fillers: dict[str, tuple[str, ...]]


# ── the first generator: seen while the method was improved ────────────────────────────────────────────────────────────

_RARE = "霁砚岫樵汀篁溟璆鹭榆漱苕珩昱翎蔚澜溪岚麓"
_IMAGES = "石榴 海星 芦苇 灯塔 松果 渡口 炉火 竹筏 雪橇 蜂巢 铜锣 纸鸢".split()
_KINDS_ZH = "平台 系统 专项 中枢 驾驶舱 底座 云脑 专区 工坊 台账 看板 总线".split()
_SYLLABLES = "tal quo ven bri mor zel fen dra lum nix ora pyr sto vek wim ya".split()
_THINGS = "Lantern Saltmarsh Harbour Thistle Anvil Pebble Heron Quarry Bramble Kestrel Cinder Oyster".split()


def _made_up(draw: random.Random, *, parts: int = 2) -> str:
    return "".join(draw.sample(_SYLLABLES, parts)).capitalize()


def _first_zh(draw: random.Random) -> str:
    letters = "".join(draw.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=draw.choice((2, 3, 4))))
    shapes = (
        lambda: "".join(draw.sample(_RARE, 2)),
        lambda: "".join(draw.sample(_RARE, 2)) + draw.choice(_KINDS_ZH),
        lambda: draw.choice(_IMAGES) + draw.choice(_KINDS_ZH),
        lambda: (
            draw.choice("一二三四五六七八九")
            + draw.choice("横纵环翼链")
            + draw.choice("一二三四五六七八九")
            + draw.choice(("工程", "布局", "打法"))
        ),
        lambda: f"{letters}-{draw.randrange(2, 90)}",
        lambda: _made_up(draw) + draw.choice(("网关", "中台", "面板")),
        lambda: letters + draw.choice(("接口", "规约", "主机")),
    )
    return draw.choice(shapes)()


def _first_en(draw: random.Random) -> str:
    letters = "".join(draw.choices("BCDFGHJKLMNPQRSTVWXZ", k=3))
    shapes = (
        lambda: _made_up(draw, parts=2),
        lambda: draw.choice(_THINGS) + draw.choice(("Grid", "Desk", "Flow", "Hub")),
        lambda: f"Project {draw.choice(_THINGS)}",
        lambda: " ".join(draw.sample(_THINGS, 2)),
        lambda: f"{letters}-{draw.randrange(100, 9_000)}",
        lambda: f"{letters}{draw.randrange(2, 30)}",
        lambda: f"{draw.choice(_THINGS).lower()}_{draw.choice(('sync', 'ledger', 'jobs'))}",
        lambda: _made_up(draw).lower(),
    )
    return draw.choice(shapes)()


FIRST = Generator(
    zh=_first_zh,
    en=_first_en,
    around_zh=(
        "昨天<who>在{}里补录了两条，",
        "{}这周又<fault>，先别动。",
        "要走{}审批，<when>才能回。",
        "材料我放到{}了，",
        "关于{}的口径以<who>为准；",
        "这部分归{}管，不归我们。",
        "等{}切换完再说，<when>吧。",
        "<who>问{}还要不要续，",
        "麻烦把{}的权限开给<who>。",
        "跟{}比起来老办法更快，",
        "他们把{}并进来以后<fault>过三次。",
        "先查{}，没有再打电话，",
    ),
    around_en=(
        "<who> said {} was <fault> again. ",
        "please check {} before <when>, ",
        "we pulled the figures out of {}, ",
        "access to {} is with <who>; ",
        "nobody told us that {} had moved. ",
        "as agreed in the {} meeting, ",
        "({} has the older copy) ",
        "since {} went live we see fewer of these. ",
        "<who> owns {} until <when>. ",
        "not in {}, ask <who>. ",
    ),
    fillers={
        "who": ("the night shift", "her team", "finance", "the vendor", "our lead"),
        "fault": ("down", "slow", "out of step", "locked", "half empty"),
        "when": ("noon", "Thursday", "the audit", "next week"),
        "who_zh": ("值班的", "财务", "组长", "那边", "供应商"),
        "fault_zh": ("卡住了", "掉线", "对不上", "报错", "变慢了"),
        "when_zh": ("下午", "周四", "月底", "验收后"),
    },
)

# ── the second generator: written when the method was fixed ────────────────────────────────────────────────────────────

_STARS = "望舒 扶光 玉衡 羲和 昆吾 青圭 白泽 飞廉 句芒 祝融 毕方 招摇 灵枢 太阿 赤水 丹渊".split()
_PLACES_ZH = "署 营 廷 轩 坊 阁 组 线 堂 库".split()
_PINYIN = "b c d f g h j k l m n p q r s t w x y z".split()
_WORDS = "paper iron cold river stone night silver candle copper velvet winter maple granite".split()
_MORE = "boat ledger brew crate mill watch fold press yard gate forge loft".split()
_CODES = "Juniper Mercury Orchard Falcon Compass Meridian Obsidian Larch Sable Corvid".split()
_TOWNS = "Elm Ash Wych Thorn Hazel Cold Marsh Birk".split()


def _second_zh(draw: random.Random) -> str:
    shapes = (
        lambda: draw.choice(_STARS) + draw.choice(_PLACES_ZH),
        lambda: draw.choice(_STARS),
        lambda: "".join(draw.sample(_PINYIN, draw.choice((3, 4)))),
        lambda: draw.choice(_CODES) + draw.choice("组线库柜"),
        lambda: draw.choice("TKGHQ") + str(draw.randrange(2, 60)) + draw.choice(("机组", "机柜", "单元", "库房")),
        lambda: draw.choice(("蓄水池", "压舱石", "稻草人", "过山车", "万花筒", "蒲公英")) + draw.choice(("计划", "二期", "小组", "清单")),
        lambda: draw.choice("东西南北") + draw.choice("二三四五六") + draw.choice("廊库井塔栈"),
        lambda: draw.choice(_STARS) + f"{draw.randrange(2, 9)}.0",
    )
    return draw.choice(shapes)()


def _second_en(draw: random.Random) -> str:
    shapes = (
        lambda: draw.choice(_WORDS) + draw.choice(_MORE),
        lambda: draw.choice(_WORDS).capitalize() + draw.choice(_MORE),
        lambda: f"Operation {draw.choice(_WORDS).capitalize()} {draw.choice(_MORE).capitalize()}",
        lambda: f"{draw.choice(_CODES)} v{draw.randrange(2, 7)}",
        lambda: f"{draw.choice(_TOWNS)}{draw.choice(('stead', 'combe', 'wick', 'holt'))} Annex",
        lambda: draw.choice("eim") + draw.choice(_MORE).capitalize(),
        lambda: "".join(draw.choices("BCDFGLMNPRSTVX", k=5)),
        lambda: f"{draw.choice('RQXZ')}{draw.randrange(1, 9)}-{draw.choice(_CODES)}",
    )
    return draw.choice(shapes)()


SECOND = Generator(
    zh=_second_zh,
    en=_second_en,
    around_zh=(
        "经办人说{}还没有盖章，<when>再去取。",
        "{}出的单子和<who>手里的不一样。",
        "该笔已转{}处理。",
        "按{}的老规矩办，",
        "<who>把编号抄给了{}，",
        "上次{}<fault>，客户等了很久。",
        "以上内容来自{}。",
        "请把附件同步到{}一份，",
        "新来的同事不知道{}是什么，<who>带他去看。",
        "{}与本案无关，",
        "凭{}的回执领取，<when>截止。",
        "能不能不走{}？",
        "名单由{}和<who>各存一份。",
    ),
    around_en=(
        "Filed under {} by <who>. ",
        "Not billed: {} was <fault> that day. ",
        "Forwarded to {} on <when>. ",
        "<who> still uses {} for this. ",
        "For reasons of cost {} will close <when>. ",
        "Copied from {}, without the stamps. ",
        "Ask whether {} keeps a second copy. ",
        "The client does not know about {} yet. ",
        "Moved from {} to the archive. ",
        "<who> thinks {} got it wrong. ",
        "This came through {} and was never answered. ",
    ),
    fillers={
        "who": ("reception", "the registrar", "our auditor", "legal", "the back office", "the trainee"),
        "fault": ("closed", "offline", "overbooked", "being moved"),
        "when": ("Monday", "the first", "quarter end", "June"),
        "who_zh": ("前台", "法务", "登记处", "实习生", "老主任"),
        "fault_zh": ("停了半天", "没人接", "排不上", "漏了一页"),
        "when_zh": ("明早", "季度末", "周一", "十五号"),
    },
)

# ── the third generator: written when the method was changed for the last time ─────────────────────────────────────────

_ABILITY = "慧 智 信 惠 捷 融 聚 联 速 安 畅 睿".split()
_TRADE = "贷 付 保 诊 税 仓 票 康 采 审 护 链".split()
_TAILS = "通 宝 云 易 达 盾 家 站".split()
_DEALS = "青松 磐石 北极星 长城 向日葵 雪松 蓝鲸 珊瑚 候鸟 铁塔 红杉 白鹭".split()
_OFFICES = "信创 数转 反诈 清欠 降本 提质 合规 扩面 资管 普惠".split()
_LATIN = "Polaris Sunrise Vertex Harmony Pinnacle Nexus Aurora Summit Cobalt Zenith".split()
_VERBS = "Claim Med Loan Care Case Ward Rate Brief Trust Note Shift Chart".split()
_ENDS = "Track Vault Wise Net Link Sphere Path Works Base Point".split()


def _third_zh(draw: random.Random) -> str:
    letters = "".join(draw.choices("ABCDEFGHIJLMNOPRSTX", k=draw.choice((3, 4))))
    shapes = (
        lambda: draw.choice(_ABILITY) + draw.choice(_TRADE) + draw.choice(_TAILS),
        lambda: draw.choice(_ABILITY) + draw.choice("eE") + draw.choice(_TRADE),
        lambda: draw.choice(_DEALS) + draw.choice(("项目", "行动", "计划")),
        lambda: f"{draw.choice('XHSDPQ')}{draw.choice('HQYM')}-20{draw.randrange(19, 26)}-0{draw.randrange(1, 10)}",
        lambda: letters + draw.choice(("系统", "平台", "2", "3.0", "")),
        lambda: draw.choice(_OFFICES) + draw.choice(("办", "专班", "领导小组", "工作组")),
        lambda: draw.choice(_LATIN) + draw.choice(("项目", "计划", "2", "")),
        lambda: (
            draw.choice("东西南北新老")
            + draw.choice("院楼区库")
            + draw.choice("一二三四五甲乙丙")
            + draw.choice(("区", "段", "号库", "座"))
        ),
    )
    return draw.choice(shapes)()


def _third_en(draw: random.Random) -> str:
    letters = "".join(draw.choices("ABCDEFGHIKLMNOPRSTUX", k=4))
    shapes = (
        lambda: draw.choice(_VERBS) + draw.choice(_ENDS),
        lambda: draw.choice(_VERBS) + draw.choice(_ENDS) + str(draw.randrange(2, 6)),
        lambda: letters,
        lambda: f"{letters[:3]}-{draw.randrange(2, 9)}",
        lambda: f"{letters[:2]}-{draw.randrange(1000, 4000)}",
        lambda: f"{draw.choice(_VERBS).lower()}{draw.choice(('bot', 'sync', 'runner', 'feed'))}",
        lambda: f"{draw.choice(_VERBS).lower()}-{draw.choice(('bot', 'sync', 'runner', 'feed'))}",
        lambda: f"Project {draw.choice(_LATIN)}",
        lambda: f"{draw.choice(_LATIN)} {draw.choice(('Programme', 'Registry', 'Folder', 'Scheme'))}",
        lambda: f"{draw.choice(('Blue', 'Red', 'Inner', 'Second', 'Old'))} {draw.choice(('Folder', 'Tower', 'Desk', 'Ledger', 'Queue'))}",
    )
    return draw.choice(shapes)()


THIRD = Generator(
    zh=_third_zh,
    en=_third_en,
    around_zh=(
        "<who>反馈{}<fault>，已记录。",
        "详见{}，此处不再重复。",
        "根据{}的要求，<when>前补齐。",
        "已在{}登记，编号另附。",
        "{}上线以来投诉少了。",
        "客户问起{}，<who>没有答复。",
        "费用从{}列支，",
        "会上<who>提到{}，要求<when>汇报。",
        "{}和这边的数据差三条。",
        "其余事项移交{}。",
        "通过{}查询，未见异常。",
        "这是{}的第二批，",
        "不要在{}里写姓名，",
        "原定参加{}，因故未到。",
    ),
    around_en=(
        "<who> logged it in {} as usual. ",
        "It was <fault>, so {} sent a second notice. ",
        "Under {} this is free of charge. ",
        "The export from {} is attached. ",
        "{} closed the case on <when>. ",
        "A copy goes to {}; nothing else is needed. ",
        "<who> has no login for {}. ",
        "This was raised within {} before. ",
        "Costs go to {}, see the sheet. ",
        "We will retire {} after <when>. ",
        "Was {} informed? ",
        "Both were found by {}. ",
    ),
    fillers={
        "who": ("the clerk", "a colleague", "billing", "the ward", "compliance", "support"),
        "fault": ("late", "incomplete", "rejected", "unsigned"),
        "when": ("Friday", "closing day", "the review", "month end"),
        "who_zh": ("护士站", "客服", "风控", "主办律师", "出纳", "信息科"),
        "fault_zh": ("打不开", "延迟", "重复扣款", "少一份附件", "登不上"),
        "when_zh": ("本周五", "下班", "评审", "年底", "月初"),
    },
)
GENERATORS = {"first": FIRST, "second": SECOND, "third": THIRD}


# ── planting and judging ──────────────────────────────────────────────────────────────────────────────────────────────


def planted(texts: list[str], generator: Generator, language: str, draw: random.Random) -> tuple[list[str], list[str]]:
    """Return the texts with sentences about invented terms among theirs, and the terms; none of them stands in the texts."""
    everything = "\n".join(texts).lower()
    terms: dict[str, None] = {}
    while len(terms) < _TERMS:
        term = getattr(generator, language)(draw)
        if term.lower() not in everything and normal(term) not in {normal(t) for t in terms}:
            terms[term] = None
    around = generator.around_zh if language == "zh" else generator.around_en
    made = list(texts)
    for term in terms:
        for _ in range(draw.randint(3, 9)):
            sentence = draw.choice(around)
            for name in ("who", "fault", "when"):
                sentence = sentence.replace(f"<{name}>", draw.choice(generator.fillers[name + ("_zh" if language == "zh" else "")]))
            row = draw.randrange(len(made))
            made[row] = made[row] + (" " if language == "en" else "") + sentence.replace("{}", term)
    return made, list(terms)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _rows(data: Path, *, quick: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the name, language and texts of each set."""
    cut = 8 if quick else 1
    yield "zh-cluener", "zh", [json.loads(line)["text"] for line in _lines(data / "deid/zh-cluener/train.json")][: 4_000 // cut]
    yield "zh-huatuo", "zh", [json.loads(line)["output"] for line in _lines(data / "medical/huatuo_zh.jsonl")][: 3_000 // cut]
    papers = json.loads((data / "medical/pubmedqa_pqal.json").read_text(encoding="utf-8"))
    yield "en-pubmedqa", "en", [" ".join(paper["CONTEXTS"]) for paper in papers.values()][: 500 // cut]
    yield "en-gsm8k", "en", [json.loads(line)["question"] for line in _lines(data / "general/gsm8k_train.jsonl")][: 3_000 // cut]


def main() -> None:
    """Plant, discover and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--generator", choices=[*GENERATORS, "all"], default="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", default="")
    parser.add_argument(
        "--show", type=int, default=0, help="print so many candidates, and the terms that were missed; never commit what it prints"
    )
    given = parser.parse_args()
    if not given.data.is_dir():
        print("# there are no texts here to plant terms in")
        return
    for name, language, texts in _rows(given.data, quick=given.quick):
        if given.sets and name not in given.sets.split(","):
            continue
        for which in GENERATORS if given.generator == "all" else (given.generator,):
            for seed in range(1 if given.quick else given.seeds):
                draw = random.Random(f"{which} {name} {seed}")
                made, terms = planted(texts, GENERATORS[which], language, draw)
                engine = Engine.build(settings_for("default"), bytes(32))
                records = [Record(f"{n:032x}", f"{n:032x}", name, "text", ("text",), (text,), {}) for n, text in enumerate(made)]
                start = time.process_time()
                clear = blanked(engine, records)
                middle = time.process_time()
                found = discover.candidates(clear, most=max(_RANKS))
                ended = time.process_time()
                ranks = {normal(c.term): n for n, c in reversed(list(enumerate(found, 1)))}
                left = "\n".join(clear)
                strong = [c for c in found if c.score >= discover.STRONG]
                wanted = {normal(term) for term in terms}
                missed = [t for t in terms if t in left]
                row = {
                    "bench": "deid_terms",
                    "case": name,
                    "generator": which,
                    "seed": seed,
                    "terms": len(terms),
                    "characters": sum(map(len, texts)),
                    **{f"recall@{k}": round(sum(ranks.get(normal(t), k + 1) <= k for t in terms) / len(terms), 3) for k in _RANKS},
                    "masked_before": len(terms) - len(missed),
                    "recall@50_of_the_rest": round(sum(ranks.get(normal(t), 51) <= 50 for t in missed) / max(1, len(missed)), 3),
                    "strong": len(strong),
                    "strong_planted": sum(normal(c.term) in wanted for c in strong),
                    "cpu_seconds_masking": round(middle - start, 2),
                    "cpu_seconds": round(ended - middle, 2),
                }
                tell(row)
                if given.show:
                    for c in found[: given.show]:
                        print("  +" if normal(c.term) in wanted else "   ", c)
                    print("missed:", [(t, ranks.get(normal(t)), left.count(t)) for t in terms if ranks.get(normal(t), 99) > 50])


if __name__ == "__main__":
    main()
