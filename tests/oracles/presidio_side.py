"""Presidio with its own recognisers, with ours as one of them, and its recognisers in our engine. Usage: python -I presidio_side.py ORDER.json."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path


def main(order):
    sys.path.insert(0, order["source"])  # the two meet in one process here, as they would in a program that uses both
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, Pattern, PatternRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

    from ringfence.core.records import Record
    from ringfence.deid.compat.presidio import Wrapped, as_recognizer
    from ringfence.deid.compat.yaml import read
    from ringfence.deid.engine import Engine
    from ringfence.deid.settings import DeidSettings, kinds

    def theirs(text):
        parts = [PatternRecognizer.from_dict({"supported_language": "en", **entry}) for entry in order["recognizers"]]
        return sorted({(r.start, r.end, r.entity_type) for part in parts for r in part.analyze(text, part.supported_entities)})

    def ours(text):
        return sorted({(s.start, s.end, s.kind) for part in read(Path(order["yaml"])) for s in part.find(text)})

    settings = DeidSettings(parts=("cn-mobile.v1", "email.v1"), engine="re")
    badge = PatternRecognizer("BADGE", patterns=[Pattern("badge", r"bd-\d{6}", 0.8)])
    both = Engine.build(settings, b"k" * 32, own_way=[Wrapped(badge), Wrapped(CreditCardRecognizer())])
    texts = ("call 13800138000, badge bd-123456", "card 4111 1111 1111 1111, bd-123456")
    masked = both.mask(Record("0" * 32, "0" * 32, "s", "pair", ("user", "assistant"), texts, {}), Counter())

    here = as_recognizer(Engine.build(settings, b"k" * 32), kinds())
    registry = RecognizerRegistry(recognizers=[badge, here], supported_languages=["en"])
    nothing = NoOpNlpEngine([{"lang_code": "en", "model_name": "no_op"}])
    nothing.load()
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=nothing, supported_languages=["en"])
    return {
        "theirs": [theirs(text) for text in order["texts"]],
        "ours": [ours(text) for text in order["texts"]],
        "masked": list(masked.texts),
        "found": sorted((s.kind, texts[n][s.start : s.end]) for n, spans in enumerate(both.find_many(texts)) for s in spans),
        "is_one": isinstance(here, EntityRecognizer),
        "analyzed": sorted((r.entity_type, r.start, r.end) for r in analyzer.analyze("电话13800138000 bd-123456", language="en")),
        "asked_for_one": [r.entity_type for r in analyzer.analyze("电话13800138000 a@b.cn", language="en", entities=["EMAIL"])],
    }


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(asked["answer"]).write_text(json.dumps(main(asked)), encoding="utf-8")
