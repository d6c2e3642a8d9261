"""Writes labelled sentences with invented names, in Chinese and English: what shipped taggers learn from, and what audits of recall hide.

No sentence is anybody's: clauses are written for this purpose, names are drawn from lists, and what stands between are common words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ringfence.deid import divisions, features, people

Labelled = list[tuple[str, str]]  # (text, kind): P, O, L or empty

CLAUSES_ZH = """
{P}表示|{P}说|{P}认为|{P}指出|{P}介绍说|{P}告诉记者|{P}称|{P}透露|{P}强调|{P}坦言|{P}回忆道|{P}补充说|{P}解释称|{P}笑着说|{P}在接受采访时表示|{P}在会上指出
据{P}介绍|据{P}回忆|在{P}看来|对{P}来说|对于{P}|除了{P}|因为{P}|随着{P}的加盟|按照{P}的说法|正如{P}所言|和{P}一起|与{P}合作|由{P}担任|被{P}拒绝|向{P}道歉|给{P}打电话|把{P}送到医院
记者{P}报道|本报记者{P}|实习记者{P}|通讯员{P}|文/{P}|摄影：{P}|作者：{P}|编辑：{P}|责任编辑{P}|主演：{P}、{P}|导演：{P}|编剧{P}|主持人{P}|嘉宾{P}
{T}{P}|{T}{P}说|{T}{P}表示|{T}{P}认为|{O}{T}{P}|{O}{T}{P}表示|{O}{T}{P}在{L}说|{L}{T}{P}|原{O}{T}{P}|{P}{T}|{P}{T}说|{P}{T}认为|{P}{T}指出|{P}（{T}）|{P}，{T}|{O}的{P}{T}|{T}{P}和{T}{P}
{P}和{P}|{P}与{P}|{P}、{P}、{P}|{P}、{P}和{P}等人|{P}及其妻子{P}|{P}的儿子{P}|{P}夫妇|{P}等人|{P}一家|{P}本人|{P}方面|{P}的律师|{P}的家人|{P}的团队
{P}在{L}举行婚礼|{P}出生于{L}|{P}毕业于{O}|{P}加盟{O}|{P}离开{O}|{P}出任{O}{T}|{P}现任{O}{T}|{P}曾任{O}{T}|{P}就职于{O}|{P}被任命为{T}|{P}辞去{O}{T}一职|{O}宣布{P}辞职
{P}的进球|{P}打进一球|{P}传球|{P}头球破门|{P}梅开二度|{P}受伤|{P}替补出场|{P}首发|{P}得到{N}分|{P}投篮命中|门将{P}|前锋{P}|主帅{P}|球员{P}|队长{P}|{P}领衔的球队|{P}率队|{P}的合同|{P}转会
{P}新片|{P}饰演男主角|{P}执导的电影|{P}主演的电视剧|{P}的新专辑|{P}演唱会|歌手{P}|演员{P}|影星{P}|{P}绯闻|{P}现身|{P}亮相|由{P}导演|{P}扮演的角色|{P}获奖|{P}出席活动|{P}的粉丝
玩家{P}|{P}的房子|{P}先生购买|{P}小姐打来电话|{P}女士投诉|市民{P}|居民{P}|业主{P}|村民{P}|司机{P}|店主{P}|学生{P}|同学{P}|{P}同学|{P}老师|班主任{P}|{P}妈妈|{P}的母亲
被告{P}|被告人{P}|原告{P}|上诉人{P}|证人{P}|嫌疑人{P}|犯罪嫌疑人{P}|法官{P}|审判长{P}|律师{P}|委托代理人{P}|法定代表人{P}|{P}犯盗窃罪|{P}诉{P}|{P}一案|{P}被判处有期徒刑{N}年|{P}涉嫌
患者{P}|患者{P}，男，{N}岁|{P}，女，{N}岁|病人{P}入院|家属{P}签字|主治医师{P}|主治医生{P}|{P}医生查房|护士{P}|{P}主任会诊|联系人{P}|联系人：{P}|姓名：{P}|患者姓名：{P}|经办人{P}|签名：{P}|负责人{P}|申请人{P}|投保人{P}|被保险人{P}
{P}：{W}|{P}:{W}|{P}：是的，{W}|{P}：我觉得{W}|网友{P}：{W}|{P}（{E}）：{W}|{P}(右)|{P}（左）和{P}|图为{P}|{P}/摄|解说{P}|主播{P}|{P}（化名）|老板{P}|民警{P}|驾驶员{P}|{P}案开庭|将{P}抓获|{P}被抓|“{P}”|叫{P}的人|名叫{P}|{P}强调，|{P}举例道|认识{P}|像{P}一样|亲爱的{P}|{P}您好|你好，{P}|致{P}|{P}收|请{P}尽快回复|麻烦{P}确认|@{P}|谢谢{P}|抄送{P}|{P}负责跟进|今天{P}请假|{P}已提交|由{P}审批|转给{P}处理|通知{P}参加会议|{P}经理|{P}总监批示
分析师{P}|研究员{P}|首席经济学家{P}|基金经理{P}|{P}管理的基金|董事长{P}|总裁{P}|创始人{P}|{P}持有{O}股份|{P}减持|{P}收购{O}|{P}接手{O}|{P}博士|{P}教授|院士{P}|专家{P}|学者{P}
美国总统{P}|国务卿{P}|总理{P}|外长{P}|{P}访问{L}|{P}总统|{P}抵达{L}|{P}会见{P}|{P}当选|{P}竞选|候选人{P}|市长{P}|书记{P}|{P}同志|{P}局长|{P}副市长|县长{P}
{P}著|{P}的小说|诗人{P}|作家{P}|画家{P}|{P}译|{P}的作品|{P}所写|{P}发明|{P}提出的理论|皇帝{P}|将军{P}|{P}率军|{P}攻打{L}|{P}之子|{P}大战{P}|主角{P}|{P}（{E}饰）|{P}({E})|{P}（{E}）|{E}和{P}|主持人{E}|{E}表示|{E}说|选手{E}|球员{E}打进一球|歌手{E}|by {E}|@{E}|编辑：{E}|{T}{E}|{E}的粉丝|翻译{E}|找{E}确认|联系{E}|《{W}》|《{W}》上映|小说《{W}》|游戏《{W}》|专辑《{W}》|读《{W}》有感|《{W}》作者{P}|{P}的《{W}》|{P}主演《{W}》|《{W}》杂志|{A}公司|用{A}打开|{A}发布会|安装{A}|{A}版本|{A}选手|{A}系统
住在{L}|位于{L}的{O}|来自{L}|前往{L}|在{L}举行|{L}发生地震|从{L}到{L}|{L}地区|{L}居民|{L}市场|在{L}工作|{L}的天气|飞往{L}|{L}机场|{L}警方|{L}街头|去{L}旅游|家住{L}|现住{L}|籍贯{L}
{O}宣布|{O}发布公告|{O}表示|{O}推出新产品|{O}的股价|由{O}主办|{O}员工|{O}获得冠军|{O}击败{O}|{O}迎战{O}|在{O}工作|就读于{O}|转入{O}治疗|{O}负责人|{O}有关人士|向{O}投诉|{O}发言人|入职{O}|供职{O}
""".strip()
TITLES_ZH = "教授 博士 主任 经理 总经理 董事长 总裁 副总裁 院长 校长 所长 局长 处长 部长 市长 书记 主席 律师 法官 医生 老师 先生 女士 小姐 同志 记者 导演 演员 主帅 教练 工程师 分析师 研究员 总监 秘书长 发言人 会长 设计师 专家 警官".split()
HONORIFICS_ZH = "先生 女士 小姐 太太 总 医生 老师 师傅 教授 主任 经理 哥 姐 某 某某 律师 局长 同学 阿姨 大爷".split()
ORGANISATIONS_ZH = "有限公司 股份有限公司 集团 公司 银行 证券 医院 人民医院 中医院 大学 学院 中学 小学 法院 检察院 公安局 教育局 税务局 律师事务所 研究所 研究院 委员会 协会 基金会 出版社 电视台 日报 队 俱乐部 保险 科技 基金 物业 药业 地产 网络科技有限公司 人寿保险 工商银行 第一中学 师范大学 交警大队 派出所 居委会".split()
WORDS_O_ZH = "华 中 国 天 海 大 金 新 东 方 安 泰 信 达 联 合 创 通 恒 盛 宏 源 瑞 康 立 友 光 明 永 兴 博 远 长 城 太 平 洋 民 生 招 商 兴 业 阳 光 飞 鸿 鼎 汇 融 众 优 佳 美 乐 百 万 千 三 一 同 仁 和 协".split()
PLACE_ENDS_ZH = "市 县 区 镇 乡 村 路 街 大道 山 河 湖 岛 广场 公园 小区 花园 大厦 机场 车站 港 湾 桥 省 州 新区 开发区 街道".split()
WESTERN = """
{P} said|said {P}|{P} told reporters|according to {P}|{P} added that|{T} {P}|{T} {P} said|{P}, {N}, of {L}|{P} ({N})|{P} and {P}|{P}, {P} and {P}|met with {P}|with {P}|by {P}|from {P}|thanks to {P}|my friend {P}|my name is {P}|I'm {P}|I am {P}
this is {P} speaking|Dear {P}|Hi {P}|Hello {P}|Regards, {P}|Best, {P}|Sincerely, {P}|cc {P}|Please ask {P}|{P} will call you back|send it to {P}|{P}'s account|{P}'s mother|{P}'s new album|{P} was born in {L}|{P} lives in {L}|{P} moved to {L}|{P} works for {O}
{P} works at {O}|{P} joined {O}|{P} of {O}|{P}, CEO of {O}|{P}, director of {O}|{O} hired {P}|patient {P}|Patient: {P}|Name: {P}|Contact: {P}|Attending: {T} {P}|seen by {T} {P}|referred to {T} {P}|{P} presented with chest pain|{P} is a {N} year old man|{P} was admitted to {O}
{P} v. {P}|plaintiff {P}|defendant {P}|witness {P}|{P} filed a complaint|Judge {P}|attorney {P}|signed by {P}|{P} scored twice|{P} beat {P}|coach {P}|{P} won the title|President {P}|Senator {P}|Prime Minister {P}|{P} wrote|{P} directed|starring {P}|actor {P}|singer {P}
lol {P} is here|omg {P}|rt @someone: {P}|I love {P}|saw {P} at {L}|{P} in {L} tonight|happy birthday {P}|with {P} and {P} at {L}|listening to {P}|{P} is so funny|can't believe {P}|watching {P}|{P} followed me|new video from {P}|#{P}|follow {P}|miss you {P}
in {L}|at {L}|from {L} to {L}|near {L}|the city of {L}|{L} police|in downtown {L}|flew to {L}|the {L} area|a trip to {L}|{O} announced|shares of {O}|{O} reported|at {O}|{O}'s profit|the {O} board|sued {O}|customers of {O}|an account with {O}|employee of {O}
""".strip()
TITLES_EN = "Dr. Mr. Mrs. Ms. Prof. Mr Mrs Ms Dr Professor Doctor Captain Sergeant Sir Miss Officer Detective".split()
ORGANISATIONS_EN = [
    "Inc",
    "Inc.",
    "Ltd",
    "LLC",
    "Corp",
    "Group",
    "Bank",
    "Hospital",
    "Medical Center",
    "University",
    "College",
    "High School",
    "Partners",
    "Holdings",
    "Insurance",
    "Systems",
    "Technologies",
    "Foundation",
    "Institute",
    "Clinic",
    "Records",
    "and Sons",
    "& Co",
    "United",
    "FC",
    "City Council",
    "Airlines",
    "Energy",
    "Labs",
]
PLACES_EN = [
    "ville",
    "ton",
    "field",
    "burg",
    "ford",
    "wood",
    " Beach",
    " Park",
    " City",
    " County",
    " Falls",
    " Springs",
    " Heights",
    " Island",
    "port",
    " Lake",
    " Street",
    " Road",
    " Avenue",
]


class Chinese:
    """Writes labelled Chinese sentences."""

    def __init__(self, draw: random.Random, *, foreign: Sequence[str] = (), text: Sequence[str] = ()) -> None:
        self._draw = draw
        self._clauses = [clause for line in CLAUSES_ZH.splitlines() for clause in line.split("|")]
        known = people.names()
        self._surnames = [name for name in known.surnames if len(name) == 1]
        self._weights = [1 / (rank + 8) for rank in range(len(self._surnames))]
        self._compound = sorted(known.compound)
        self._given = "".join(known.groups)
        self._any = "".join(known.reading)
        self._foreign = [name for name in foreign if 2 <= len(name) <= 7 and set(name) <= set(people.FOREIGN) | set("·")]
        self._places = sorted(divisions.all_names())
        self._first, self._last = [*known.first["f"], *known.first["m"]], known.last
        self._english = sorted(features.words_en())
        words = sorted(features.words_zh())
        self._words = words
        self._text = text

    def sentence(self) -> Labelled:
        """Return one sentence."""
        parts: Labelled = []
        for n in range(self._draw.randint(1, 4)):
            if n:
                parts.append((self._draw.choice(["，", "，", "，", "、", "；", "。", " ", ""]), ""))
            parts += self.clause() if self._draw.random() < 0.6 else [(self._filler(), "")]
            if self._draw.random() < 0.35:
                parts.append((self._filler(), ""))
        return [*parts, (self._draw.choice(["。", "，", "", "！", "；"]), "")]

    def _filler(self) -> str:
        if self._text and self._draw.random() < 0.55:
            return self._draw.choice(self._text)
        return "".join(self._draw.choice(self._words) for _ in range(self._draw.randint(1, 6)))

    def clause(self) -> Labelled:
        """Return one clause."""
        made: Labelled = []
        for piece in re.split(r"(\{[A-Z]\})", self._draw.choice(self._clauses)):
            made += {"{P}": self.person, "{O}": self.organisation, "{L}": self.place, "{E}": self._latin}.get(
                piece, lambda piece=piece: [(self._other(piece), "")]
            )()
        return made

    def _other(self, piece: str) -> str:
        if piece == "{T}":
            return self._draw.choice(TITLES_ZH)
        if piece == "{W}":
            return self.person()[0][0] if self._draw.random() < 0.25 else self._filler()[:8]
        if piece == "{A}":
            word = self._draw.choice(self._english)
            return self._draw.choice([word, word.title(), word.upper()[:4], f"{word.title()}{self._draw.randint(1, 20)}"])
        return str(self._draw.randint(1, 99)) if piece == "{N}" else piece

    def person(self) -> Labelled:
        """Return a name of a person."""
        draw, kind = self._draw, self._draw.random()
        surname = draw.choices(self._surnames, self._weights)[0]
        if kind < 0.62:
            letters = self._given if draw.random() < 0.75 else self._any
            return [(surname + "".join(draw.choice(letters) for _ in range(draw.choice((1, 2, 2)))), "P")]
        if kind < 0.67:
            return [(draw.choice(self._compound) + "".join(draw.choice(self._given) for _ in range(draw.choice((1, 2)))), "P")]
        if kind < 0.84 and self._foreign:
            name = draw.choice(self._foreign)
            if draw.random() < 0.3:
                name += draw.choice(["·", "·", "-", "."]) + draw.choice(self._foreign)
            return [(name, "P")]
        if kind < 0.88:
            return [("".join(draw.choice(people.FOREIGN) for _ in range(draw.randint(2, 5))), "P")]
        if kind < 0.94:
            title = draw.choice(HONORIFICS_ZH)
            return [(surname, "P"), (title, "P" if title in ("某", "某某", "哥", "姐", "总") else "")]
        familiar = draw.choice("小老阿大") + draw.choice((surname, draw.choice(self._given)))
        return [(familiar if kind < 0.97 else draw.choice(self._given) * 2, "P")]

    def _latin(self) -> Labelled:
        draw = self._draw
        first, last = draw.choice(self._first), draw.choice(self._last)
        name = draw.choice([first, first, f"{first} {last}", f"{first}{last}", f"{first[0]}. {last}", last])
        return [(name.lower() if draw.random() < 0.3 else name, "P")]

    def organisation(self) -> Labelled:
        """Return a name of an organisation."""
        draw = self._draw
        front = draw.choice(self._places) if draw.random() < 0.5 else ""
        name = "".join(draw.choice(WORDS_O_ZH) for _ in range(draw.randint(2, 4))) if draw.random() < 0.8 or not front else ""
        return [(front + name + (draw.choice(ORGANISATIONS_ZH) if draw.random() < 0.85 or not name else ""), "O")]

    def place(self) -> Labelled:
        """Return a name of a place."""
        draw = self._draw
        if draw.random() < 0.7:
            return [("".join(draw.choice(self._places) for _ in range(draw.choice((1, 1, 1, 2)))), "L")]
        return [("".join(draw.choice(self._given) for _ in range(draw.randint(1, 3))) + draw.choice(PLACE_ENDS_ZH), "L")]


class English:
    """Writes labelled English text."""

    def __init__(self, draw: random.Random, *, text: Sequence[str] = (), names: tuple[Sequence[str], Sequence[str]] | None = None) -> None:
        self._draw, self._text = draw, text
        self._clauses = [clause for line in WESTERN.splitlines() for clause in line.split("|")]
        known = people.names()
        self._first, self._last = names or ([*known.first["f"], *known.first["m"]], known.last)
        self._pinyin = [sound.title() for sound in known.ranks]
        self._syllables = sorted(sound for sound in known.syllables if len(sound) > 1)
        self._words = sorted(features.words_en())

    def sentence(self) -> Labelled:
        """Return one sentence."""
        parts: Labelled = []
        for n in range(self._draw.randint(1, 3)):
            if n:
                parts.append((self._draw.choice([", ", ". ", " ", "; ", " - "]), ""))
            if self._draw.random() < 0.65:
                parts += self.clause()
            else:
                parts.append((self._filler(), ""))
            if self._draw.random() < 0.5:
                parts.append((" " + self._filler(), ""))
        parts.append((self._draw.choice([".", "", "!", "?", "."]), ""))
        lower = self._draw.random() < 0.12
        return [(text.lower() if lower else text, kind) for text, kind in parts]

    def _filler(self) -> str:
        if self._text and self._draw.random() < 0.7:
            return self._draw.choice(self._text)
        return " ".join(self._draw.choice(self._words) for _ in range(self._draw.randint(1, 5)))

    def clause(self) -> Labelled:
        """Return one clause."""
        made: Labelled = []
        for piece in re.split(r"(\{[A-Z]\})", self._draw.choice(self._clauses)):
            made += {"{P}": self.person, "{O}": self.organisation, "{L}": self.place}.get(
                piece, lambda piece=piece: [(self._other(piece), "")]
            )()
        if made and self._draw.random() < 0.5 and not made[0][1]:
            made[0] = (made[0][0][:1].upper() + made[0][0][1:], "")
        return made

    def _other(self, piece: str) -> str:
        if piece == "{T}":
            return self._draw.choice(TITLES_EN)
        return str(self._draw.randint(1, 99)) if piece == "{N}" else piece

    def person(self) -> Labelled:
        """Return a name of a person."""
        draw, kind = self._draw, self._draw.random()
        first, last = draw.choice(self._first), draw.choice(self._last)
        if kind < 0.08:
            family, given = draw.choice(self._pinyin), "".join(draw.choice(self._syllables) for _ in range(draw.choice((1, 2)))).title()
            name = draw.choice([f"{family} {given}", f"{given} {family}"])
        elif kind < 0.5:
            name = f"{first} {last}"
        elif kind < 0.66:
            name = first
        elif kind < 0.76:
            name = last
        elif kind < 0.86:
            name = draw.choice(
                [
                    f"{first} {draw.choice('ABCDEFGHJKLMNPRSTW')}. {last}",
                    f"{draw.choice('ABCDEFGHJKLMNPRSTW')}. {last}",
                    f"{first} {draw.choice(self._first)} {last}",
                ]
            )
        elif kind < 0.93:
            name = draw.choice(
                [
                    f"{last}, {first}",
                    f"{first} {last}-{draw.choice(self._last)}",
                    f"{first} {draw.choice(['de', 'van', 'von', 'del', 'bin', 'Mc', 'O’'])} {last}",
                ]
            )
        else:
            name = f"{first} {last}".upper()
        return [(name, "P")]

    def organisation(self) -> Labelled:
        """Return a name of an organisation."""
        draw = self._draw
        name = draw.choice(
            [
                draw.choice(self._last),
                f"{draw.choice(self._last)} {draw.choice(self._last)}",
                f"{draw.choice(self._last)}, {draw.choice(self._last)} and {draw.choice(self._last)}",
                "".join(draw.choice("ABCDEFGHILMNOPRSTU") for _ in range(draw.randint(2, 4))),
            ]
        )
        return [(name + (" " + draw.choice(ORGANISATIONS_EN) if draw.random() < 0.8 else ""), "O")]

    def place(self) -> Labelled:
        """Return a name of a place."""
        draw = self._draw
        if draw.random() < 0.35:
            return [(draw.choice(self._last), "L")]
        name = draw.choice(self._last) + draw.choice(PLACES_EN)
        return [
            (name if draw.random() < 0.7 else f"{name}, {draw.choice(['TX', 'CA', 'NY', 'FL', 'IL', 'OH', 'WA', 'UK', 'GA', 'MA'])}", "L")
        ]
