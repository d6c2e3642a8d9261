"""Profiles, settings and figures."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ringfence.core.digest import settings_digest
from ringfence.core.errors import InvalidSettings, UnknownProfile
from ringfence.core.policy import DEFAULT, SHIPPED
from ringfence.deid.operator import Use
from ringfence.deid.profile import is_called_rightly, load, names, settings_for
from ringfence.deid.settings import DeidFigures, DeidSettings, kinds, vocabulary


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


@pytest.mark.parametrize("name", names())
def test_settings_do_what_their_name_says(name, tmp_path):
    made = settings_for(name, with_=["e5-names.v1"])
    assert is_called_rightly(made)
    assert made.profile == name, "further taggers find no less"
    for change in ({"operators": {"*": "keep.v1"}}, {"parts": made.parts[1:]}, {"taggers": ("e5-names.v1",)}):
        changed = DeidSettings.model_validate(made.model_dump() | change)
        assert not is_called_rightly(changed)
        assert not is_called_rightly(changed.model_copy(update={"profile": f"{name}-0123456789ab"}))
    path = tmp_path / "ours.json"
    path.write_text(load(name).model_dump_json(), encoding="utf-8")
    assert is_called_rightly(settings_for(str(path), with_=["e5-names.v1"]))
    assert not is_called_rightly(settings_for(str(path)).model_copy(update={"operators": {}, "parts": ("email.v1",)}))


def test_what_is_left_of_a_profile_without_a_tagger_is_another_profile(tmp_path):
    less = settings_for("medical-zh", without=["lac.v1"])
    assert less.profile.startswith("medical-zh-")
    assert is_called_rightly(less)
    assert less.profile == settings_for("medical-zh", without=["lac.v1"]).profile
    assert less.profile != settings_for("medical-zh", without=["zh-names.v1"]).profile
    path = tmp_path / "ours.json"
    path.write_text(load("medical-zh").model_dump_json(), encoding="utf-8")
    of_file = settings_for(str(path), without=["lac.v1"])
    assert of_file.profile.removeprefix("ours-") == less.profile.removeprefix("medical-zh-"), "the same content"


def test_figures_take_kinds_of_the_vocabulary_only():
    row = {
        "records": 1,
        "spans": {"EMAIL": 2},
        "kept": {},
        "dropped": 0,
        "survivors": 0,
        "short_left": 0,
        "characters": 9,
        "characters_changed": 3,
        "engine": "re",
        "people": 1,
        "people_few": 1,
        **{key: {} for key in ("hidden", "hidden_found", "looks_said", "few_without", "seen_first", "seen_second", "seen_both")},
    }
    assert DeidFigures.model_validate(row, context={"vocabulary": kinds()}).spans == {"EMAIL": 2}
    with pytest.raises(ValidationError):
        DeidFigures.model_validate(row | {"spans": {"张伟": 1}}, context={"vocabulary": kinds()})
    with pytest.raises(ValidationError):
        DeidFigures.model_validate(row | {"few_without": {"age": 1}}, context={"vocabulary": kinds()})
    assert DeidFigures.model_validate(row | {"few_without": {"age": 1}}, context={"vocabulary": vocabulary()}).few_without == {"age": 1}
    assert DeidFigures.public() == {"survivors", "engine"}


def test_a_new_workspace_admits_the_profiles_that_ship_and_no_others():
    assert sorted(SHIPPED) == sorted(names())
    assert DEFAULT.train.require.deid.profiles == SHIPPED
