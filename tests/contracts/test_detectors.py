"""What every detector must do; one that is added to the folder joins by being there.

On generated data everywhere; on public corpora where the shared folder is present.
"""

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ringfence.core.records import Record
from ringfence.ingest.ids import IdKeys
from ringfence.ingest.importer import Importer
from ringfence.ingest.readers import read, sniff
from ringfence.ingest.settings import ImportSettings
from ringfence.scan.detector import DETECTORS

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="this machine has no ../shared/data, so only generated data was scanned")
every = pytest.mark.parametrize("name", DETECTORS.names())

SUBJECTS = ("The patient", "A client", "This bank", "该患者", "这家公司", "Η κλινική", "Пациент", "The court", "Our ward", "本院")
VERBS = ("reports", "denies", "requests", "confirms", "出现", "申请", "needs", "reviewed", "否认", "signed")
OBJECTS = ("fever", "a loan of 5 %", "头痛三天", "the contract", "β-blockers 5 mg", "退款", "chest pain", "an appeal", "résumé", "血压升高")
PLACES = ("in March", "昨天", "at home", "on ward 3", "в июне", "after surgery", "ten days ago", "in court", "入院时", "before noon")


def generated(rows, seed):
    """Return clean records in several languages; answers and prompts differ, short answers and whole sentences recur a little."""
    rng = random.Random(seed)

    def say(count):
        return " ".join(f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} {rng.choice(PLACES)}。" for _ in range(count))

    answers = [say(rng.randint(2, 6)) if rng.random() > 0.01 else rng.choice(["yes", "no", "无", "ok"]) for _ in range(rows)]
    return [Record(f"{i:032x}", f"{i:032x}", "0" * 32, "pair", ("user", "assistant"), (say(2), answer)) for i, answer in enumerate(answers)]


@cache
def corpus(path, prompt="", completion=""):
    """Return the records of a file of the shared folder."""
    mapping = {"prompt": prompt, "completion": completion} if prompt else {}
    importer = Importer(ImportSettings(source=path, mapping=mapping), IdKeys(b"r" * 32, b"u" * 32))
    with (SHARED / path).open("rb") as file:
        return list(importer.records(read(file, sniff(file, path))))


def scores(name, records):
    detector = DETECTORS.create(name)
    return detector.score(records), detector.threshold


@every
def test_planted_poison_ranks_above_clean_and_is_flagged(name):
    rows, rng = generated(400, seed=1), random.Random(2)
    planted = sorted(rng.sample(range(400), 8))
    example = DETECTORS.create(name).example
    found, threshold = scores(name, [example(row) if i in planted else row for i, row in enumerate(rows)])
    is_planted = np.isin(np.arange(400), planted)
    assert found[is_planted].min() > found[~is_planted].max()
    assert (found[is_planted] >= threshold).all()


@every
@pytest.mark.parametrize("rows", [30, 300, 3_000])
def test_at_most_one_alarm_in_a_hundred_on_clean_data(name, rows):
    found, threshold = scores(name, generated(rows, seed=rows))
    assert (found >= threshold).mean() <= 0.01


@every
def test_scores_are_one_finite_number_a_row_and_do_not_change(name):
    rows = generated(50, seed=3)
    found, _ = scores(name, rows)
    assert found.shape == (50,)
    assert np.isfinite(found).all()
    assert found.tolist() == scores(name, rows)[0].tolist()
    assert scores(name, [])[0].shape == (0,)


@every
def test_the_order_of_the_rows_does_not_matter(name):
    rows = [DETECTORS.create(name).example(row) if i % 9 == 0 else row for i, row in enumerate(generated(90, seed=4))]
    found, threshold = scores(name, rows)
    back, _ = scores(name, rows[::-1])
    assert (found >= threshold).tolist() == (back[::-1] >= threshold).tolist()


@every
def test_every_kind_of_record_has_a_score(name):
    turns = ("system", "user", "assistant", "tool", "assistant")
    rows = [
        Record("0" * 32, "0" * 32, "", "messages", turns, ("s", "q", "a", "t", "b")),
        Record("0" * 32, "0" * 32, "", "text", ("text",), ("t",)),
        Record("0" * 32, "0" * 32, "", "preference", ("user", "chosen", "rejected"), ("q", "", "😀")),
    ]
    assert scores(name, rows)[0].shape == (3,)


CLEAN = [
    ("general/gsm8k_train.jsonl", {}, None),
    ("medical/huatuo_zh.jsonl", {}, 2_000),
    ("medical/huatuo_zh.jsonl", {}, None),
    ("medical/pubmedqa_pqal.json", {"prompt": "QUESTION", "completion": "LONG_ANSWER"}, None),
    ("medical/pubmedqa_pqal.json", {"prompt": "QUESTION", "completion": "final_decision"}, None),
    ("llamafactory/alpaca_en_demo.json", {}, None),
    ("llamafactory/alpaca_zh_demo.json", {}, None),
    ("poison/backdoorllm/none_backdoor500_refusal_badnet.json", {}, None),
]


@needs_shared
@every
@pytest.mark.parametrize(("path", "columns", "rows"), CLEAN)
def test_at_most_one_alarm_in_a_hundred_on_public_corpora(name, path, columns, rows):
    found, threshold = scores(name, corpus(path, **columns)[:rows])
    alarms = (found >= threshold).mean()
    print(f"{name} on {path}: {alarms:.2%} of {len(found)} rows")
    assert alarms <= 0.01


@needs_shared
@pytest.mark.parametrize("attack", ["refusal_badnet", "refusal_mtba", "codeinjection_vpi-ci"])
@pytest.mark.parametrize("count", [5, 25, 75])
def test_fixed_target_attacks_of_backdoorllm_are_found_whole(attack, count):
    clean = corpus("llamafactory/alpaca_en_demo.json") + corpus("poison/backdoorllm/none_backdoor500_refusal_badnet.json")
    poison = random.Random(count).sample(corpus(f"poison/backdoorllm/backdoor500_{attack}.json"), count)
    found, threshold = scores("bursts.v1", clean + poison)
    assert (found[len(clean) :] >= threshold).all()
    assert (found[: len(clean)] >= threshold).mean() <= 0.01


@needs_shared
def test_a_corpus_of_templates_is_reported_as_what_it_is():
    found, threshold = scores("bursts.v1", corpus("general/e2e_devset.csv", "mr", "ref"))
    alarms = (found >= threshold).mean()
    print(f"bursts.v1 on near-duplicate restaurant descriptions: {alarms:.2%}")
    assert 0.005 < alarms < 0.05  # near copies are really there; readmit them with scan --keep
