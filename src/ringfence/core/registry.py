"""Registry of parts: a part is one file in its folder, registered under `name.vN`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from typing import Generic, TypeVar

from ringfence.core.errors import UnknownPart

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9-]+\.v[0-9]+")


class Registry(Generic[T]):
    """Maps `name.vN` to a factory; imports every module of `package` on first use."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self._package = kind, package
        self._parts: dict[str, Callable[..., T]] = {}
        self._is_complete = False

    def add(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Return a decorator that registers a factory under `name`."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{self.kind} {name!r} is not of the form name.vN")

        def keep(factory: Callable[..., T]) -> Callable[..., T]:
            if self._parts.setdefault(name, factory) is not factory:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            return factory

        return keep

    def names(self) -> list[str]:
        """Return the names of all parts, sorted."""
        if not self._is_complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._is_complete = True
        return sorted(self._parts)

    def create(self, name: str, **params: object) -> T:
        """Return a new part.

        Raises: UnknownPart.
        """
        if name not in self.names():
            raise UnknownPart(kind=self.kind, name=name, known=", ".join(self.names()))
        return self._parts[name](**params)
