"""Parts are found because they are in the folder, and errors name the known ones."""

from __future__ import annotations

import pytest

from ringfence.core.errors import UnknownPart, error_classes
from ringfence.core.registry import Registry


def test_parts_are_named_with_a_version_and_only_once():
    registry = Registry("thing", "ringfence.core")
    registry.add("a.v1")(dict)
    with pytest.raises(ValueError, match="twice"):
        registry.add("a.v1")(list)
    with pytest.raises(ValueError, match=r"name\.vN"):
        registry.add("a")(dict)
    assert registry.create("a.v1", x=1) == {"x": 1}
    with pytest.raises(UnknownPart) as caught:
        registry.create("b.v1")
    assert caught.value.facts["known"] == "a.v1"


def test_codes_are_unique_and_of_one_shape():
    classes = list(error_classes())
    assert len({c.code for c in classes}) == len(classes) > 40
    assert all(c.exit_code in {1, 2, 4, 5, 10, 11, 12, 20, 21, 130} for c in classes)
