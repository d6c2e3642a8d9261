"""Profiles, settings and figures."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ringfence.core.digest import settings_digest
from ringfence.core.errors import InvalidSettings, UnknownProfile
from ringfence.deid.operator import Use
from ringfence.deid.profile import load, names, settings_for
from ringfence.deid.settings import DeidFigures, kinds, vocabulary


def test_the_settings_hold_what_the_profile_stands_for():
    made = settings_for("default", terms_digest="0" * 64)
    assert made.profile == "default"
    assert made.parts == load("default").recognisers
    assert len(settings_digest(made)) == 64


def test_a_profile_of_another_folder(tmp_path):
    (tmp_path / "strict.json").write_text(json.dumps({"recognisers": ["email.v1"], "operators": {"EMAIL": "redact.v1"}}))
    assert names(tmp_path) == ["strict"]
    made = settings_for("strict", folder=tmp_path)
    assert (made.profile, made.parts) == ("strict", ("email.v1",))
    assert made.operators == {"EMAIL": (Use(use="redact.v1"),)}


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(UnknownProfile, match="default"):
        load("../default")


@pytest.mark.parametrize(
    "text", ["{}", "[]", "{", '{"recognisers": ["email"]}', '{"recognisers": ["email.v1"], "operators": {"EMAIL": "keep"}}']
)
def test_a_broken_profile_is_refused(tmp_path, text):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(InvalidSettings, match="profile odd"):
        load("odd", folder=tmp_path)


def test_figures_take_kinds_of_the_vocabulary_only():
    row = {
        "records": 1,
        "spans": {"EMAIL": 2},
        "kept": {},
        "dropped": 0,
        "survivors": 0,
        "characters": 9,
        "characters_changed": 3,
        "engine": "re",
        "people": 1,
        "people_few": 1,
        **{key: {} for key in ("hidden", "hidden_found", "few_without", "seen_first", "seen_second", "seen_both")},
    }
    assert DeidFigures.model_validate(row, context={"vocabulary": kinds()}).spans == {"EMAIL": 2}
    with pytest.raises(ValidationError):
        DeidFigures.model_validate(row | {"spans": {"张伟": 1}}, context={"vocabulary": kinds()})
    with pytest.raises(ValidationError):
        DeidFigures.model_validate(row | {"few_without": {"age": 1}}, context={"vocabulary": kinds()})
    assert DeidFigures.model_validate(row | {"few_without": {"age": 1}}, context={"vocabulary": vocabulary()}).few_without == {"age": 1}
    assert DeidFigures.public() == {"survivors", "engine"}
