"""Texts cut into words, Chinese among them. Child halves only: rouge-score is imported here."""

from __future__ import annotations

import re

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

HAN = "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WORD = re.compile(rf"[{HAN}]|(?:(?![{HAN}])[^\W_])+")


class Words(Tokenizer):  # type: ignore[misc]  # rouge-score is untyped
    """Cuts a text into lower-case words of letters and digits, and Chinese characters one by one.

    rouge-score's own tokeniser keeps a to z and 0 to 9 alone: of a Chinese text it leaves nothing. On ASCII both say the same.
    """

    def tokenize(self, text: str) -> list[str]:
        """Return the words."""
        return _WORD.findall(text.lower())


def rouge() -> RougeScorer:
    """Return what scores ROUGE-L: its F-measure has as much weight on precision as on recall."""
    return RougeScorer(["rougeL"], tokenizer=Words())
