"""What has to be installed for a part, asked before work starts: in the sandbox its absence would be a dead job."""

from __future__ import annotations

from importlib.util import find_spec

from ringfence.core.errors import LibraryMissing, LowMemoryMissing
from ringfence.deid.tagger import Needs
from ringfence.models.settings import Quantisation


def require(part: str, needs: Needs | None) -> None:
    """Let pass where everything is there.

    Raises: LibraryMissing.
    """
    if needs and (absent := [name for name in needs.libraries if find_spec(name) is None]):
        raise LibraryMissing(part=part, libraries=", ".join(absent), extra=needs.extra)


def require_low_memory(quantised: Quantisation | None, *, galore: bool = False) -> None:
    """Let pass where everything is there that a base of few bits, or GaLore, needs.

    Raises: LowMemoryMissing.
    """
    needed = {"quantization_bit": ("bitsandbytes", quantised is not None), "use_galore": ("galore_torch", galore)}
    for key, (library, is_asked) in needed.items():
        if is_asked and find_spec(library) is None:
            raise LowMemoryMissing(key=key, library=library)
