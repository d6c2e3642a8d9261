"""The child half of import, on real slots; and its memory."""

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ringfence.core.errors import DuplicateIds, RowsRefused
from ringfence.flows.import_ import count_units
from ringfence.ingest.job import run
from ringfence.ingest.settings import ImportSettings
from ringfence.vault.sets import SetReader
from tests.unit.ingest.ingest_tools import child, made


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return {"source": str(path)}


ROWS = [{"问题": f"病人{i}头痛", "回答": "多休息", "病历号": f"A{i // 2}"} for i in range(5_000)]


def test_a_file_becomes_a_sealed_set_with_its_units(tmp_path):
    files = write(tmp_path / "src", ROWS)
    job = child("import.v1", ImportSettings(source="病历.jsonl", unit="病历号"), tmp_path, files=files)
    figures = run(job)
    assert (figures.rows, figures.units, figures.max_rows_per_unit, figures.layout) == (5_000, 2_500, 2, "pair")
    reader = SetReader(*made(job, "set"))
    assert [record.texts[0] for record in reader] == [row["问题"] for row in ROWS]
    assert reader.index.unit_table[1].tolist() == [2] * 2_500
    done = [word.done for word in job.channel.said]
    assert done == sorted(done)
    assert job.channel.said[-1].total == (tmp_path / "src").stat().st_size


def test_nothing_readable_remains_of_the_file(tmp_path):
    files = write(tmp_path / "src", ROWS[:10])
    job = child("import.v1", ImportSettings(source="a.jsonl"), tmp_path, files=files)
    run(job)
    (tmp_path / "src").unlink()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert written
    for text in ("头痛", "多休息", "问题"):
        assert text.encode() not in written


@pytest.mark.parametrize(
    ("rows", "settings", "error"), [([{"text": "a"}, 3], {}, RowsRefused), ([{"text": "a", "n": 1}] * 2, {"id_column": "n"}, DuplicateIds)]
)
def test_a_refused_import_leaves_no_index(tmp_path, rows, settings, error):
    job = child("import.v1", ImportSettings(source="a.jsonl", **settings), tmp_path, files=write(tmp_path / "src", rows))
    with pytest.raises(error):
        run(job)
    assert not list(tmp_path.rglob("index"))


PROBE = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.unit.ingest.ingest_tools import child
from ringfence.ingest.job import run
from ringfence.ingest.settings import ImportSettings
folder = Path(sys.argv[2])
figures = run(child("import.v1", ImportSettings(source=sys.argv[3]), folder, files={"source": str(folder / sys.argv[3])}))
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(figures.rows, peak * 1024)
"""


def measured(folder, name):
    """Return rows and peak memory in bytes of importing folder/name in a process of its own."""
    tools = str(Path(__file__).parents[3])
    out = subprocess.run([sys.executable, "-c", PROBE, tools, str(folder), name], capture_output=True, text=True, check=True).stdout
    rows, peak = map(int, re.findall(r"\d+", out))
    return rows, peak


def generated(path, *, megabytes, width=150):
    line = '{"prompt": "%012d ' + "x" * (width - 60) + '", "completion": "%012d"}'
    is_array = path.suffix == ".json"
    with path.open("w") as file:
        file.write("[" if is_array else "")
        for i in range((megabytes << 20) // width):
            file.write((",\n" if is_array and i else "") + line % (i, i) + ("" if is_array else "\n"))
        file.write("]" if is_array else "")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_memory_does_not_grow_with_the_file_but_for_64_bytes_a_row(tmp_path, name):
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, megabytes in ((small, 6), (large, 20)):  # more than one shard in both
        folder.mkdir()
        generated(folder / name, megabytes=megabytes, width=2_000)
    few, low = measured(small, name)
    many, high = measured(large, name)
    assert high - low < 64 * (many - few) + (8 << 20)  # 8 MB: allocator noise
    assert high < (300 << 20) + 64 * many


@pytest.mark.full
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_large_file_stays_within_300_mb_and_64_bytes_a_row(tmp_path, name):
    generated(tmp_path / name, megabytes=200)
    rows, peak = measured(tmp_path, name)
    assert peak < (300 << 20) + 64 * rows


def test_a_line_of_100_mb_is_refused_without_being_read_whole(tmp_path):
    with (tmp_path / "a.jsonl").open("wb") as file:
        file.write(b'{"prompt": "a", "completion": "b"}\n{"prompt": "')
        file.seek(100 << 20)
        file.write(b'"}\n')
    with pytest.raises(subprocess.CalledProcessError) as caught:
        measured(tmp_path, "a.jsonl")
    assert "LineTooLong" in caught.value.stderr
    assert "row 2 is longer than 16777216 bytes" in caught.value.stderr


def test_units_are_counted_as_numpy_counts_them_within_little_memory():
    drawn = np.random.default_rng(5)
    ids = drawn.integers(0, 256, (200_000, 16), dtype=np.uint8)
    ids[::3] = ids[0]
    tracemalloc.start()
    units, rows = count_units(ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted, counts = np.unique(ids, axis=0, return_counts=True)
    assert units == wanted.tobytes()
    assert rows == counts.astype("<u4").tobytes()
    assert peak < 48 * len(ids)
