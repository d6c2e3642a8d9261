"""Looks for planted strings in any file, in every form that text takes: raw, escaped, URL, base64, hex, UTF-16, token ids, inside zip and SQLite."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import tempfile
import urllib.parse
import zipfile
from pathlib import Path


def forms(secret, tokens=()):
    """Return name -> bytes of every way in which `secret` could stand in a file. tokens: its ids in a tokenizer's vocabulary."""
    raw = secret.encode()
    found = {
        "raw": raw,
        "escaped": json.dumps(secret)[1:-1].encode(),
        "url": urllib.parse.quote(secret).encode(),
        "hex": raw.hex().encode(),
        "utf-16-le": secret.encode("utf-16-le"),
        "utf-16-be": secret.encode("utf-16-be"),
    }
    for shift in range(3):  # base64 depends on the position inside a longer text: take the part that does not
        coded = base64.b64encode(b"\0" * shift + raw)
        found[f"base64+{shift}"] = coded[(shift * 8 + 5) // 6 + 1 : len(coded) - 4]
        found[f"base64+{shift}, for URLs"] = found[f"base64+{shift}"].translate(bytes.maketrans(b"+/", b"-_"))
    ids = tokens[1:-1]  # what stands before and after the secret in a text decides how its two ends are cut
    if len(ids) >= 3:
        found["token ids, JSON"] = ", ".join(map(str, ids)).encode()
        found["token ids, compact"] = ",".join(map(str, ids)).encode()
        for width in (2, 4, 8):
            found[f"token ids, {width} bytes"] = b"".join(int(t).to_bytes(width, "little") for t in ids)
    return {name: data for name, data in found.items() if len(data) >= 6}


def leaks(folder, secrets, tokens=None):
    """Return (file, secret, form) of every occurrence below `folder`, file names included."""
    wanted = {secret: forms(secret, (tokens or {}).get(secret, ())) for secret in secrets}
    found = []
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        found += [(name, secret, "file name") for secret in secrets if secret in name]
        if path.is_file() and not path.is_symlink():
            for inner, data in contents(name, path.read_bytes()):
                found += [(inner, s, form) for s, ways in wanted.items() for form, needle in ways.items() if needle in data]
    return found


def contents(name, data):
    """Yield the file itself and what is packed inside it."""
    yield name, data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                yield from contents(f"{name}!{info.filename}", archive.read(info))
    if data.startswith(b"SQLite format 3\0"):
        with tempfile.NamedTemporaryFile(suffix=".db") as copy:
            copy.write(data)
            copy.flush()
            base = sqlite3.connect(copy.name)
            for (table,) in base.execute("select name from sqlite_master where type='table'").fetchall():
                for row in base.execute(f'select * from "{table}"'):
                    yield f"{name}!{table}", "\n".join(map(str, row)).encode()
            base.close()
