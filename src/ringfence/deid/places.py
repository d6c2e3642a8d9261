"""Places that are too large to tell who somebody is: continents, countries, states and provinces.

Source: territories of the Unicode CLDR, in English and Chinese, and the states and provinces of large countries.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from ringfence.deid import divisions


def is_large(name: str) -> bool:
    """Return True for a country, a continent, a state of the United States or a province of China, and the like."""
    return name.strip(" .,") in _names() or divisions.is_only_province(name)


@cache
def _names() -> frozenset[str]:
    data = json.loads((files("ringfence.deid") / "data" / "places.json").read_text(encoding="utf-8"))
    return frozenset(name for group in data.values() for name in group)
