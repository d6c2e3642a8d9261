"""What the benchmarks share: how a result is printed, a model for --quick, and sets of generated notes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

_FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # of a CPU, the fastest at sums of products first


def tell(row: dict[str, Any]) -> None:
    """Print one result as a line of JSON, with the machine that it was measured on."""
    print(json.dumps(row | machine(), ensure_ascii=False), flush=True)


def machine() -> dict[str, Any]:
    """Return what a result says of the machine, and how busy it is."""
    told = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    flags = next((flag for flag in _FLAGS if f" {flag} " in told), "")
    return {"cpu": f"{name.group(1) if name else 'unknown'} {flags}".strip(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}


def tiny_model(folder: Path) -> str:
    """Make a two-layer model in a store of its own below `folder`, and return its name."""
    from ringfence.models.store import register
    from ringfence.models.tiny import write_tiny_model

    os.environ["RINGFENCE_MODELS"] = str(folder / "models")
    register(write_tiny_model(folder / "tiny"), "tiny", licence="apache-2.0")
    return "tiny"


def clinic(space: Any, folder: Path, *, rows: int, name: str = "clinic") -> None:
    """Bring generated clinic notes into a workspace, the product's way: import by patient, scan, de-identify."""
    from ringfence.clinic.notes import write_jsonl

    notes = folder / f"{name}.jsonl"
    write_jsonl(notes, rows, seed=rows)
    masked(space, notes)


def masked(space: Any, path: Path) -> None:
    """Bring a file of rows with a patient_id into a workspace, under its own name: import, scan, de-identify."""
    from ringfence.deid.profile import settings_for
    from ringfence.flows.deid import deidentify
    from ringfence.flows.import_ import import_file
    from ringfence.flows.scan import scan
    from ringfence.ingest.settings import ImportSettings
    from ringfence.scan.settings import ScanSettings

    import_file(space, path, name=path.stem, settings=ImportSettings(source=path.name, unit="patient_id"))
    scan(space, path.stem, settings=ScanSettings())
    deidentify(space, path.stem, settings=settings_for("default"))
