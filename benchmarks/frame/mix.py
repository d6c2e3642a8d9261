"""Texts to measure de-identification on: Chinese and English, some with an identifier that no other text has."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from ringfence.core.records import Record
from ringfence.deid.recognisers.cn_resident_id import check_digit

DATA = Path(__file__).parents[3] / "shared" / "data"
ZH = [
    "患者三天前出现咳嗽，伴有低热，无胸痛。",
    "复查血常规未见明显异常；建议继续观察。",
    "合同编号 2024-118，付款期限为三十天，",
    "系统于凌晨完成升级，未发现告警。",
]
EN = [
    "The patient reports a mild headache since Monday and denies fever. ",
    "Invoice 2024-118 is due within thirty days, see clause 4.2 of the agreement. ",
    "The upgrade finished at 03:12:45 without any alarm on the cluster. ",
]
_SENTENCE = re.compile(r"[^。\n]{9,400}[。\n]?")
_SHORTEST = 200  # bytes of a text


def sentences(data: Path) -> tuple[list[str], list[str]]:
    """Return sentences of the Chinese and English sets of a folder (its SOURCES.md names them); without it, a few of our own."""
    if not (data / "medical").is_dir():
        return ZH, EN
    rows = [json.loads(line) for line in (data / "medical" / "huatuo_zh.jsonl").open(encoding="utf-8")]
    chinese = [row["instruction"] + row["output"] for row in rows]
    chinese += [json.loads(line)["text"] for line in (data / "deid" / "zh-cluener" / "train.json").open(encoding="utf-8")]
    studies = json.loads((data / "medical" / "pubmedqa_pqal.json").read_text(encoding="utf-8")).values()
    english = [text for study in studies for text in (*study["CONTEXTS"], study["LONG_ANSWER"])]
    english += [json.loads(line)["text"] for line in (data / "llamafactory" / "c4_demo.jsonl").open(encoding="utf-8")]
    english += (data / "llamafactory" / "wiki_demo.txt").read_text(encoding="utf-8").split("\n")
    cut = [[match[0] for text in texts for match in _SENTENCE.finditer(text)] for texts in (chinese, english)]
    return cut[0], cut[1]


def identifier(draw: random.Random) -> str:
    """Return a value that passes its check, of one of ten kinds, with the key word that it needs."""
    digits = "".join(draw.choices("0123456789", k=12))
    sort = draw.randrange(10)
    if sort == 0:
        first17 = f"110105{draw.randint(1960, 1999)}{draw.randint(1, 12):02d}{draw.randint(1, 28):02d}{digits[:3]}"
        return first17 + check_digit(first17)
    if sort == 1:
        body = f"622202{digits[:9]}"
        luhn = sum(sum(divmod(int(d) * 2, 10)) if n % 2 == 0 else int(d) for n, d in enumerate(reversed(body)))
        return body + str(-luhn % 10)
    return (
        f"139{digits[:8]}",
        f"13{digits[0]}-{digits[1:5]}-{digits[5:9]}",
        f"{''.join(draw.choices('abcdefghijk', k=6))}.{digits[:3]}@mail{digits[3:5]}.com",
        f"{draw.randint(11, 200)}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}",
        f"(4{draw.randint(10, 69)}) {draw.randint(200, 999)}-{digits[:4]}",
        f"护照E{digits[:8]}",
        f"住院号{digits[:8]}",
        "AKIA" + "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16)),
    )[sort - 2]


def texts(size: int, *, data: Path = DATA, seed: int = 7, rate: float = 0.3) -> Iterator[str]:
    """Yield about `size` bytes of texts of some 300; `rate` of them hold one identifier."""
    draw, (chinese, english), total = random.Random(seed), sentences(data), 0
    while total < size:
        source, parts, length = draw.choice((chinese, english)), [], 0
        while length < _SHORTEST:
            parts.append(draw.choice(source))
            length += len(parts[-1].encode("utf-8", "surrogatepass"))
        if draw.random() < rate:
            parts.insert(draw.randrange(len(parts) + 1), f" {identifier(draw)} ")
        text = "".join(parts)
        total += len(text.encode("utf-8", "surrogatepass"))
        yield text


def records(size: int, *, data: Path = DATA, seed: int = 7, rate: float = 0.3) -> Iterator[Record]:
    """Yield the same as records."""
    for number, text in enumerate(texts(size, data=data, seed=seed, rate=rate)):
        yield Record(f"{number:032x}", f"{number:032x}", "bench", "text", ("text",), (text,))
