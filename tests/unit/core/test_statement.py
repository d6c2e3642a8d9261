"""Statements: the signed bytes are the statement, and nothing else is accepted."""

from __future__ import annotations

import json

import pytest

from ringfence.core.digest import canonical
from ringfence.core.errors import NotCanonical
from ringfence.core.statement import SelfTest, Statement
from tests.unit.core.test_policy import PASSED, chain


def test_a_statement_comes_back_from_its_payload():
    for statement in chain():
        assert Statement.from_payload(statement.payload()) == statement


def test_the_payload_is_an_in_toto_statement():
    value = json.loads(chain()[0].payload())
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "urn:ringfence:evidence:import:v1"
    assert value["subject"] == [{"name": "set", "digest": {"sha256": "a" * 64}}]


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("_type"),
        lambda v: v.update(_type="other"),
        lambda v: v.update(predicateType="urn:ringfence:evidence:import:v2"),
        lambda v: v.update(predicateType="urn:ringfence:evidence:invented:v1"),
        lambda v: v.update(extra=1),
        lambda v: v["predicate"].update(extra=1),
        lambda v: v["predicate"].pop("run"),
        lambda v: v.update(subject=[]),
        lambda v: v["subject"][0]["digest"].update(sha1="x"),
    ],
)
def test_other_documents_are_refused(change):
    value = json.loads(chain()[0].payload())
    change(value)
    with pytest.raises(NotCanonical):
        Statement.from_payload(canonical(value))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"namespace_differs": False}, "namespace"),
        ({"interfaces": ("eth0", "lo")}, "interfaces"),
        ({"interfaces": ()}, "interfaces"),
        ({"ipv4": "open"}, "ipv4"),
        ({"ipv4": "timeout"}, "ipv4"),
        ({"ipv6": "timeout"}, "ipv6"),
        ({"environment": ("AWS_SECRET",)}, "environment"),
        ({"no_new_privileges": False}, "privileges"),
        ({"seccomp": False}, "seccomp"),
    ],
)
def test_the_self_test_names_what_failed(change, name):
    assert PASSED.failures() == []
    assert PASSED.model_copy(update=change).failures() == [name]
    assert SelfTest.model_validate(PASSED.model_dump()).failures() == []
