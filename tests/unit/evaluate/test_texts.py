"""Answers against what rows say: by hand, against the libraries' own words on whole corpora, and in Chinese."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize
from sacrebleu.metrics.bleu import BLEU

from ringfence.evaluate.texts import bleu, counted, exact_match, rouge_l, tokens_for
from ringfence.train.words import Words

BY_HAND = [  # what a model said, the row's answer, exact, ROUGE-L: 2 · common / (words of both), `common` the longest subsequence
    ("Rest and drink.", "Rest and drink.", 1, 1.0),
    (" Rest  and\ndrink. ", "Rest and drink.", 1, 1.0),  # white space is no word
    ("rest and drink", "Rest, and drink!", 0, 1.0),  # case and points are none, either, but they are not the same text
    ("the cat sat", "the cat on the mat", 0, 2 * 2 / 8),
    ("police killed the gunman", "police kill the gunman", 0, 2 * 3 / 8),  # Lin 2004: S2 against S1
    ("the gunman kill police", "police kill the gunman", 0, 2 * 2 / 8),  # Lin 2004: S3 against S1
    ("", "yes", 0, 0.0),
    ("患者咳嗽三天", "患者发热三天", 0, 2 * 4 / 12),
    ("患者 BP 120", "患者bp120", 0, 2 * 2 / 7),  # a number that is glued to letters is another word
    ("Ünder überdosis", "unter überdosis", 0, 2 * 1 / 4),
]


@pytest.mark.parametrize(("said", "answer", "exact", "rouge"), BY_HAND)
def test_one_answer_by_hand(said, answer, exact, rouge):
    sums = counted([said], [answer], tokens="13a").sum(axis=0)
    assert exact_match(sums) == exact
    assert rouge_l(sums) == pytest.approx(rouge)


def naive_rouge(said, answer):
    """F-measure by the textbook's recursion, over the same words."""
    a, b = Words().tokenize(said), Words().tokenize(answer)
    longest = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            longest[i + 1, j + 1] = longest[i, j] + 1 if one == other else max(longest[i, j + 1], longest[i + 1, j])
    common = longest[-1, -1]
    return 2 * common / (len(a) + len(b)) if common else 0.0


@given(st.text("ab 患者,", max_size=20), st.text("ab 患者,", max_size=20))
def test_rouge_is_the_longest_common_subsequence(said, answer):
    assert rouge_l(counted([said], [answer], tokens="zh").sum(axis=0)) == pytest.approx(naive_rouge(said, answer))


@given(st.text(st.characters(max_codepoint=127)))
def test_on_ascii_words_are_those_of_rouge_score(text):
    assert Words().tokenize(text) == tokenize(text, None)


def test_the_librarys_own_words_leave_nothing_of_a_chinese_text():
    """Why there is a tokeniser of ours at all."""
    assert tokenize("患者咳嗽三天", None) == []
    assert RougeScorer(["rougeL"]).score("患者咳嗽", "患者咳嗽")["rougeL"].fmeasure == 0
    assert Words().tokenize("患者Cough三天，BP120") == ["患", "者", "cough", "三", "天", "bp120"]


def corpus(count, letters, seed):
    draw = random.Random(seed)
    return ["".join(draw.choices(letters, k=draw.randint(5, 60))) for _ in range(count)]


@pytest.mark.parametrize(("letters", "tokens"), [("abc de. ", "13a"), ("患者咳嗽三天，", "zh")])
def test_bleu_of_sums_is_sacrebleus_of_the_whole_corpus(letters, tokens):
    answers = corpus(30, letters, 0)
    said = [one[: len(one) // 2] + other for one, other in zip(answers, corpus(30, letters, 1), strict=True)]
    assert tokens_for(answers) == tokens
    columns = counted(said, answers, tokens=tokens)
    together = BLEU(tokenize=tokens).corpus_score(said, [answers]).score
    assert 1 < together < 99
    assert bleu(columns.sum(axis=0)) == pytest.approx(together, rel=1e-12)
    parts = np.stack([columns[:10].sum(axis=0), columns[10:].sum(axis=0)])  # of any rows, and of several sums at once
    assert bleu(parts) == pytest.approx(
        [BLEU(tokenize=tokens).corpus_score(said[a:b], [answers[a:b]]).score for a, b in ((0, 10), (10, 30))]
    )


def test_bleu_by_hand():
    """Papineni et al. 2002, example 2: 17 of 18 words, 10 of 17, 7 of 16 and 4 of 15 in a row agree with three references; here with one of them."""
    said, answer = "it is a guide to action which ensures", "it is a guide to action that ensures"
    precisions = (7 / 8, 5 / 7, 4 / 6, 3 / 5)
    assert bleu(counted([said], [answer], tokens="13a").sum(axis=0)) == pytest.approx(100 * np.prod(precisions) ** 0.25)
    half = "it is a guide"  # all of it agrees, and it is half as long
    assert bleu(counted([half], [answer], tokens="13a").sum(axis=0)) == pytest.approx(100 * np.exp(1 - 8 / 4))
    apart = counted(["it is a guide"], ["it is the guide"], tokens="13a").sum(
        axis=0
    )  # 3 words, then 1 in a row, then none: a half and a quarter
    assert bleu(apart) == pytest.approx(100 * np.prod([3 / 4, 1 / 3, (1 / 2) / 2, (1 / 4) / 1]) ** 0.25)
    assert bleu(counted(["nothing alike"], [answer], tokens="13a").sum(axis=0)) == 0


@pytest.mark.parametrize(
    ("answers", "tokens"), [(["患者咳嗽", "Rest."], "13a"), (["患者咳嗽", "BP"], "zh"), (["12 / 80", ""], "13a"), (["体温 36.5 ℃"], "zh")]
)
def test_the_words_of_bleu_follow_most_letters(answers, tokens):
    assert tokens_for(answers) == tokens


def test_the_libraries_call_nobody_and_need_no_data():
    """Both are imported and used under a hook that no socket and no process gets past. (rouge-score imports nltk, which can download.)"""
    code = """
import sys
from ringfence.core.environment import silence_libraries

def refuse(event, args):
    if event.partition(".")[0] in ("socket", "subprocess", "urllib", "pickle") or event in ("os.exec", "os.fork", "os.posix_spawn"):
        sys.exit(event)

silence_libraries()
sys.addaudithook(refuse)
from ringfence.evaluate.texts import counted
print(counted(["Rest 休息"], ["Rest 休息"], tokens="zh")[0, :3].tolist())
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[1.0, 1.0, 1.0]"), done.stderr[-500:]
