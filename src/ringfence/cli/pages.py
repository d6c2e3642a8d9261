"""The pages of error codes: in a wheel they lie inside the package, in a checkout under docs/errors."""

from __future__ import annotations

from pathlib import Path

import ringfence
from ringfence.core.errors import UnknownPart
from ringfence.core.text import Language, chosen, t


def folder() -> Path:
    """Return the folder that holds one sub-folder of pages per language."""
    package = Path(ringfence.__file__).parent
    inside = package / "pages"
    return inside if inside.is_dir() else package.parents[1] / "docs" / "errors"


def codes(language: Language) -> list[str]:
    """Return the codes that have a page in `language`, sorted."""
    return sorted(path.stem for path in (folder() / language).glob("RF-*.md"))


def page(code: str) -> str:
    """Return the page of a code in the chosen language.

    Raises: UnknownPart.
    """
    known = codes(chosen())
    wanted = code.upper()
    if wanted not in known:
        raise UnknownPart(kind=t("code", "代码"), name=code, known=", ".join(known))
    return (folder() / chosen() / f"{wanted}.md").read_text(encoding="utf-8")
