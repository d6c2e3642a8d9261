"""What a model's own README says in its head: hubs keep licence and the like there, as YAML between two lines of dashes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

_LONGEST = 1 << 16  # bytes of a README that are looked at
_HEAD = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*$", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"^license(?:_name)?:[^\r\n]{1,200}$", re.MULTILINE)  # all of it that is read as YAML: the rest may be anything
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_ -]{0,63}")


def stated_licence(folder: Path) -> str | None:
    """Return the licence that README.md states, `license_name` where `license` is "other"; None where it states none that is one short word."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        found = _HEAD.match(stream.read(_LONGEST).decode("utf-8", "replace"))
    try:
        head = yaml.safe_load("\n".join(_LINE.findall(found[1].replace("\r\n", "\n")))) if found else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(head, dict):
        return None
    licence = head.get("license")
    if licence == "other":
        licence = head.get("license_name", licence)
    return licence if isinstance(licence, str) and _LICENCE.fullmatch(licence) else None
