"""Invented labelled text: people on wards that have names of their own."""

from __future__ import annotations

import random

_FLOWERS = "兰菊梅莲桂杏桃榆槐枫柏杨柳桑棠蕙芷薇蔷茉"
_SURNAMES, _GIVEN = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "明华丽军伟芳敏静强磊娜秀霞平刚英慧鑫宇晨"
_BEFORE = "昨夜 今晨 上午 午后 傍晚 下周 明天 前天 随后 目前 当时 稍后 近日 周末 月初".split()
_AFTER = "体温平稳 血压偏高 食欲尚可 睡眠较差 伤口干燥 咳嗽减轻 诉头痛 无明显不适 可下床活动 继续补液 复查血糖 拟行手术 情绪稳定".split()


def ward_rows(count: int, *, seed: int = 0) -> list[dict]:
    """Return rows of JSON Lines; wards are two flowers and a word, and hardly one of them occurs twice."""
    draw = random.Random(seed)
    rows = []
    for n in range(count):
        person = draw.choice(_SURNAMES) + draw.choice(_GIVEN) + draw.choice(_GIVEN)
        ward = draw.choice(_FLOWERS) + draw.choice(_FLOWERS) + draw.choice(("苑三区", "苑五区", "苑七区"))
        parts = [
            (draw.choice(_BEFORE), ""),
            (person, "PERSON"),
            (draw.choice(("住进", "转到", "离开", "返回")), ""),
            (ward, "WARD"),
            ("，" + draw.choice(_AFTER) + draw.choice(_BEFORE) + draw.choice(_AFTER) + str(draw.randint(10, 99)) + "。", ""),
        ]
        text, spans = "", []
        for piece, kind in parts if n % 7 else parts[4:]:
            if kind:
                spans.append({"start": len(text), "end": len(text) + len(piece), "kind": kind})
            text += piece
        rows.append({"text": text, "spans": spans})
    return rows
