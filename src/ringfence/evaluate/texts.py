"""An answer against what the row says: exact match, ROUGE-L and BLEU. Child halves only: sacrebleu is imported here."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from ringfence.evaluate.settings import Bleu
from ringfence.train.words import HAN, rouge

Floats = NDArray[np.float64]

_ROWS, _EXACT, _ROUGE = 0, 1, 2  # columns of `counted`
_LENGTHS, _AGREE, _TOTAL = slice(3, 5), slice(5, 9), slice(9, 13)
_COLUMNS = 13
_OF_HAN = re.compile(f"[{HAN}]")


def tokens_for(answers: Sequence[str]) -> Bleu:
    """Return how BLEU cuts texts into words: "zh" where most of their letters are Chinese characters, else "13a", as the WMT does."""
    han = sum(len(_OF_HAN.findall(text)) for text in answers)
    letters = sum(character.isalpha() for text in answers for character in text)
    return "zh" if 2 * han > letters else "13a"


def counted(said: Sequence[str], answers: Sequence[str], *, tokens: Bleu) -> Floats:
    """Return of each row [rows, columns] what the figures below are computed from, once rows are added up.

    said: by a model. answers: of the rows. tokens: how BLEU cuts them into words.

    The columns: 1; whether both texts are the same but for white space; ROUGE-L's F-measure, with as much weight on precision as on recall; of BLEU
    the lengths of both texts in words, and of one to four words in a row how many agree, and of how many.
    """
    scorer, bleu = rouge(), BLEU(tokenize=tokens, effective_order=True)  # which changes no count
    found = np.ones((len(said), _COLUMNS))
    for row, text, answer in zip(found, said, answers, strict=True):
        score = bleu.sentence_score(text, [answer])
        row[_EXACT] = text.split() == answer.split()
        row[_ROUGE] = scorer.score(answer, text)["rougeL"].fmeasure
        row[_LENGTHS], row[_AGREE], row[_TOTAL] = (score.sys_len, score.ref_len), score.counts, score.totals
    return found


def exact_match(sums: Floats) -> Floats:
    """Return the share of rows [...] that were answered word for word, of sums [..., columns]."""
    return sums[..., _EXACT] / sums[..., _ROWS]


def rouge_l(sums: Floats) -> Floats:
    """Return the mean of ROUGE-L [...], 0 to 1, of sums [..., columns].

    Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries.
    """
    return sums[..., _ROUGE] / sums[..., _ROWS]


def bleu(sums: Floats) -> Floats:
    """Return BLEU [...], 0 to 100, of sums [..., columns], as sacrebleu has it of all rows together, with its smoothing "exp".

    Source: Papineni et al. 2002; Post 2018 (arXiv:1804.08771).
    """
    return np.apply_along_axis(_bleu, -1, sums)


def _bleu(row: Floats) -> float:
    agree, total, (said, answer) = ([round(count) for count in row[part]] for part in (_AGREE, _TOTAL, _LENGTHS))
    return float(BLEU.compute_bleu(agree, total, said, answer, smooth_method="exp").score)
