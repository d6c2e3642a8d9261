"""What has to be installed for a part, asked before work starts: in the sandbox its absence would be a dead job."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from ringfence.core.errors import EngineMissing, ExtraMissing, LibraryMissing, LowMemoryMissing
from ringfence.deid.tagger import Needs
from ringfence.models.settings import Quantisation
from ringfence.train.engine import LIBRARIES


def require(part: str, needs: Needs | None) -> None:
    """Let pass where everything is there.

    Raises: LibraryMissing.
    """
    if needs:
        _require(LibraryMissing, part, needs.libraries, extra=needs.extra)


def require_low_memory(quantised: Quantisation | None, *, galore: bool = False) -> None:
    """Let pass where everything is there that a base of few bits, or GaLore, needs.

    Raises: LowMemoryMissing.
    """
    if quantised:
        _require(LowMemoryMissing, "quantization_bit", ("bitsandbytes",))
    if galore:
        _require(LowMemoryMissing, "use_galore", ("galore_torch",))


def require_engine(stage: str) -> None:
    """Let pass where everything is there that steps a run which draws its answers.

    Raises: EngineMissing.
    """
    _require(EngineMissing, f"stage: {stage}", LIBRARIES)


def _require(error: type[ExtraMissing], part: str, libraries: Iterable[str], **facts: str) -> None:
    if absent := [name for name in libraries if find_spec(name) is None]:
        raise error(part=part, libraries=", ".join(absent), **facts)
