"""`policy set` and `policy show` say what a policy leaves out, and what it gives up."""

from __future__ import annotations

import json

import pytest

from ringfence.cli.main import run
from ringfence.core.rules import ReleaseRules
from ringfence.flows.init import init
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE


@pytest.fixture
def call(tmp_path, capsys):
    init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))
    (tmp_path / "word").write_text(PASSPHRASE)

    def call(*arguments, policy=None):
        if policy:
            (tmp_path / "policy.yaml").write_text(policy)
            arguments = (*arguments, str(tmp_path / "policy.yaml"))
        capsys.readouterr()
        assert run(["--passphrase-file", str(tmp_path / "word"), "-w", str(tmp_path / "ws"), *arguments]) == 0
        return capsys.readouterr().out

    return call


SHORT = "version: 1\nbudget: {epsilon: 8}\n"
NO_RULE = {"en": "adapters leave without an audit", "zh": "适配器不经审计即可放行"}


@pytest.mark.parametrize("language", NO_RULE)
def test_a_policy_without_release_rules_is_said_to_let_adapters_leave_unaudited(call, language):
    assert NO_RULE[language] not in call("--lang", language, "policy", "show")
    said = call("--lang", language, "policy", "set", policy=SHORT)
    assert NO_RULE[language] in said
    assert f"release.replay: {{max_rate: 0.01}} → {'absent' if language == 'en' else '未写'}" in said
    assert NO_RULE[language] in call("--lang", language, "policy", "show")


def test_scripts_are_told_what_a_policy_leaves_out_and_gives_up(call):
    said = json.loads(call("--json", "policy", "set", policy=SHORT))
    rules = [f"release.{name}" for name in ReleaseRules.model_fields]
    assert (said["needs_audit"], said["not_asked"]) == (False, rules)
    assert [one["key"] for one in said["looser"]] == rules
    shown = json.loads(call("--json", "policy", "show"))
    assert (shown["needs_audit"], shown["not_asked"]) == (False, rules)
    said = json.loads(call("--json", "policy", "set", policy="release: {membership: {max_auc: 0.7}}\n"))
    assert said["needs_audit"]
    assert said["not_asked"] == [rule for rule in rules if rule != "release.membership"]
    assert said["looser"] == []
    said = json.loads(call("--json", "policy", "set", policy="release: {membership: {max_auc: 0.8}}\nreveal: allow\n"))
    assert said["looser"] == [
        {"key": "release.membership.max_auc", "before": 0.7, "after": 0.8},
        {"key": "reveal", "before": "refuse", "after": "allow"},
    ]
