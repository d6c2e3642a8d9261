"""The page of the policy against code: every key, its value in a new workspace and where it is left out, and an example that can be signed."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import pytest
import yaml

from ringfence.core.policy import DEFAULT, Budget, DeidRule, Policy, Require, ScanRule, TrainRules, not_asked
from ringfence.core.rules import Backdoor, Membership, ReleaseRules, Replay, SecretExposure, SecretExtraction, Spans
from ringfence.flows.policy import keys, read_policy
from ringfence.recipe.read import strict_yaml

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "policy.md", "zh": DOCS / "zh" / "policy.md"}
BARE = Policy(  # every block is written, and no key in it
    train=TrainRules(require=Require(scan=ScanRule(), deid=DeidRule())),
    budget=Budget(),
    release=ReleaseRules(
        secret_extraction=SecretExtraction(),
        secret_exposure=SecretExposure(),
        membership=Membership(),
        replay=Replay(),
        spans=Spans(),
        backdoor=Backdoor(),
    ),
)
both = pytest.mark.parametrize("language", PAGES)


def table(language):
    """Return {key: (in a new workspace, where its block lacks it)}, as YAML reads the two; None where no value stands in the cell."""
    document = PAGES[language].read_text(encoding="utf-8").partition("## 3.")[2]
    lines = [line.strip("| ").split(" | ") for line in document.splitlines() if line.startswith("| `")]
    return {key.strip("`"): tuple(map(value_of, (new, absent))) for key, _, new, absent in lines}


def value_of(cell):
    found = re.match(r"`([^`]+)`", cell)
    return strict_yaml(found[1]) if found else None


def value_at(policy, key):
    return reduce(lambda block, name: block and block.get(name), key.split("."), policy.model_dump(mode="json"))


@both
def test_every_key_of_a_policy_is_on_its_page_with_its_values(language):
    assert list(table(language)) == keys(Policy)
    assert table(language) == {key: (value_at(DEFAULT, key), value_at(BARE, key)) for key in keys(Policy)}


@both
def test_the_example_can_be_signed_and_leaves_no_rule_out(language, tmp_path):
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGES[language].read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "policy.yaml").write_text(block, encoding="utf-8")
    policy = read_policy(tmp_path / "policy.yaml")
    assert not_asked(policy) == ()
    assert (policy.train.ordinary, policy.train.max_epsilon) == ("internal-only", 8)
    assert yaml.safe_load(block) == yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", PAGES["en"].read_text(), re.DOTALL | re.MULTILINE)[0])
