"""What an entry says of a model beside its files: licence, provenance, time, safety verdict; and entries of the first version."""

from __future__ import annotations

import contextlib
import json
import re
import sys

import pytest

from ringfence.core.digest import canonical
from ringfence.core.errors import ModelBroken
from ringfence.models import safety, store
from ringfence.models.card import stated_licence
from ringfence.models.safety import SENTENCES, template_outcome
from tests.unit.models.model_parts import write_folder

LICENCES = [
    (b"---\nlicense: apache-2.0\nlanguage: [en]\n---\n# A model", "apache-2.0"),
    (b"---\r\nlicense: mit\r\n---\r\n", "mit"),
    (b"---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research"),
    (b"---\nlicense: other\n---\n", "other"),
    (b"# A model\n---\nlicense: mit\n---\n", None),
    (b"---\nlicense: mit\n", None),
    (b"---\nlicense: [mit, apache-2.0]\n---\n", None),
    (b"---\nlicense: 'mit\x1b[31m'\n---\n", None),
    (b"---\nlicense: !!python/object/apply:os.system [id]\n---\n", None),
    (b"---\nlicense: " + b"[" * 5_000 + b"\n---\n", None),
    (b"---\nx: " + b"[" * 5_000 + b"\nlicense: mit # so\n---\n", "mit"),
    (b"---\n- license\n---\n", None),
    (b"---\nlicense: " + b"x" * 65 + b"\n---\n", None),
    (b"---\nx: '" + b" " * (1 << 16) + b"'\nlicense: mit\n---\n", None),
    (b"\xff\xfe", None),
]


@pytest.fixture(autouse=True)
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def outcomes(entry):
    return {one.rule: one.outcome for one in entry.verdict}


@pytest.mark.parametrize(("readme", "licence"), LICENCES, ids=range(len(LICENCES)))
def test_the_licence_is_what_the_head_of_the_readme_states(tmp_path, readme, licence):
    assert stated_licence(write_folder(tmp_path / "m", README__md=readme)) == licence


def test_an_entry_says_where_a_model_came_from(tmp_path):
    folder = write_folder(tmp_path / "m", README__md=LICENCES[0][0])
    entry = store.register(folder, "tiny", provenance="mirror, 2026-11")
    assert (entry.licence, entry.provenance) == ("apache-2.0", "mirror, 2026-11")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.imported)
    assert outcomes(entry)["licence"] == outcomes(entry)["provenance"] == "pass"
    assert store.register(folder, "tiny", licence="mit").licence == "mit"  # who imports it decides
    assert store.find("tiny").provenance == "mirror, 2026-11"


def test_what_nobody_said_is_a_warning(tmp_path):
    entry = store.register(write_folder(tmp_path / "m"), "tiny")
    assert entry.licence == "unknown"
    found = outcomes(entry)
    assert list(found) == list(SENTENCES)
    assert {rule for rule, outcome in found.items() if outcome == "warn"} == {"template", "licence", "provenance", "signature"}
    assert all(one.sentence() for one in entry.verdict)


def test_an_entry_of_the_first_version_is_read_and_written_as_the_second(tmp_path, where):
    entry = store.register(write_folder(tmp_path / "m"), "tiny")
    row = entry.model_dump(mode="json", exclude={"provenance", "imported", "signature", "verdict"}) | {"format": "ringfence.model/1"}
    path = where / f"{entry.digest}.json"
    path.write_bytes(canonical(row))
    old = store.find("tiny")
    assert (old.files, old.imported, old.signature, old.verdict) == (entry.files, "", None, ())
    assert store.verify("tiny") == old
    store.register(write_folder(tmp_path / "n", LICENSE=b"other"), "tiny")  # takes the name
    assert json.loads(path.read_bytes())["format"] == "ringfence.model/2"
    assert store.find(entry.digest).name == f"tiny-{entry.digest[:8]}"


def test_an_import_mends_a_model_that_was_changed(tmp_path, where):
    folder = write_folder(tmp_path / "m")
    entry = store.register(folder, "tiny")
    (entry.path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelBroken):
        store.verify("tiny")
    store.register(folder, "tiny")
    assert store.verify("tiny").digest == entry.digest
    assert sorted(path.name for path in where.iterdir()) == [entry.digest, f"{entry.digest}.json"]


# ── the chat template ─────────────────────────────────────────────────────────────────────────────────────────────────

SOUND = [
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message.content | trim }}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% continue %}{% endif %}{% endfor %}",
    "{% set ns = namespace(seen=false) %}{% set ns.seen = true %}{{ raise_exception('no') if not messages }}{{ strftime_now('%d') }}",
    "{% macro call(x) %}{{ x.items() | list | tojson(indent=2) }}{% endmacro %}{{ call(tools[0]) }}{{ m['_from'] }}",
]
UNSOUND = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages['__class__'] }}",
    "{{ messages | attr('__class__') }}",
    "{{ messages._private }}",
    "{% include 'other' %}",
    "{% import 'other' as x %}",
    "{% from 'other' import x %}",
    "{% extends 'other' %}",
    "{{ messages.pop(0) }}",
    "{{ messages[0].update(role='system') }}",
    "{% for message in messages %}",
    "{% unknown %}",
    "{{ " + "(" * 100_000,
]


@pytest.mark.parametrize("template", SOUND, ids=range(len(SOUND)))
def test_a_template_that_only_writes_is_sound(template):
    assert template_outcome(template) == "pass"


@pytest.mark.parametrize("template", UNSOUND, ids=range(len(UNSOUND)))
def test_a_template_that_the_sandbox_would_refuse_fails(tmp_path, template):
    assert template_outcome(template) == "fail"
    entry = store.register(write_folder(tmp_path / "m", chat_template__jinja=template.encode()), "tiny")
    assert outcomes(entry)["template"] == "fail"


@pytest.mark.parametrize("template", UNSOUND[:4] + UNSOUND[8:10], ids=range(6))
def test_what_fails_is_what_the_sandbox_of_the_library_refuses(template):
    """The oracle: the sandbox itself. `messages._private` is undefined there, and undefined things have nothing to take."""
    from jinja2.exceptions import SecurityError, UndefinedError
    from transformers.utils.chat_template_utils import _compile_jinja_template

    messages = [{"role": "user", "content": "x"}]
    with contextlib.suppress(SecurityError, UndefinedError):
        assert _compile_jinja_template(template).render(messages=messages) == ""


def test_a_template_that_is_too_large_to_be_read_is_a_warning(tmp_path):
    folder = write_folder(tmp_path / "m", chat_template__jinja=b" " * ((1 << 20) + 1))
    assert outcomes(store.register(folder, "tiny"))["template"] == "warn"


def test_without_jinja_nothing_is_said_of_a_template(monkeypatch):
    monkeypatch.setitem(sys.modules, "ringfence.models.template", None)
    assert safety.template_outcome(UNSOUND[0]) == "warn"
