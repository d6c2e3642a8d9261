"""A file that changes after its digest was taken: what is parsed is what was digested."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ringfence.core.errors import PresidioUnreadable, TermsFileRefused, TermsUnreadable
from ringfence.deid import job, terms_job
from ringfence.deid.settings import dictionary_digest

KEY = b"c" * 32
YAML = "recognizers:\n  - name: one\n    supported_entity: {}\n    patterns: [{{name: p, regex: 'ab[0-9]{{6}}', score: 0.5}}]\n"
GOOD, BAD = "announced-term", "another-term"


def made(path, **settings):
    """A job's view of a file."""
    settings = SimpleNamespace(**{"terms_digest": None, "presidio_digest": None, "source_digest": None} | settings)
    role = {"terms.txt": "terms", "one.yaml": "presidio", "list.csv": "source"}[path.name]
    order = SimpleNamespace(files={role: str(path)}, inputs={}, outputs={}, settings=settings)
    return SimpleNamespace(order=order, keys=SimpleNamespace(purpose={"content": KEY}, data={}))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that writes a file which has other content as soon as it was read once."""

    def write(name, now, later):
        path = tmp_path / name
        path.write_text(now)
        real = Path.read_bytes

        def read(self):
            data = real(self)
            if self == path:
                path.write_text(later)
            return data

        monkeypatch.setattr(Path, "read_bytes", read)
        return path, dictionary_digest(now.encode(), KEY), dictionary_digest(later.encode(), KEY)

    return write


def test_terms(written):
    path, digest, later = written("terms.txt", GOOD, BAD)
    assert job._terms(made(path, terms_digest=digest)) == ((GOOD,), {})
    path.write_text(GOOD)
    with pytest.raises(TermsUnreadable):
        job._terms(made(path, terms_digest=later))


def test_recognisers_of_presidio(written):
    path, digest, later = written("one.yaml", YAML.format("GOOD"), YAML.format("BAD"))
    (part,) = job._from_presidio(made(path, presidio_digest=digest))
    assert part.kinds == {"GOOD"}
    path.write_text(YAML.format("GOOD"))
    with pytest.raises(PresidioUnreadable):
        job._from_presidio(made(path, presidio_digest=later))


def test_decisions(written, monkeypatch):
    monkeypatch.setattr(terms_job, "_written", lambda _, known, changed: ([entry.term for entry in known], changed))
    path, digest, later = written("list.csv", GOOD, BAD)
    assert terms_job.take(made(path, source_digest=digest)) == ([GOOD], 1)
    path.write_text(GOOD)
    with pytest.raises(TermsFileRefused):
        terms_job.take(made(path, source_digest=later))
