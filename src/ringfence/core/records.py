"""Records: what a set holds, one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["messages", "pair", "text", "preference", "feedback"]
Role = Literal["tools", "system", "user", "assistant", "call", "tool"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ANSWERS = (
    "assistant",
    "call",
    "chosen",
    "liked",
    "disliked",
)  # roles of what is said in the end; a rejected answer stands beside a chosen one

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_quoted = json.encoder.encode_basestring  # what the encoder above makes of a string


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `texts` are its natural-language parts in a fixed order, so that a job can rewrite them without knowing the kind.

    id, unit: 32 hex digits, HMACs made at import. roles: one per text; what each text is.
    messages: any number of system/user/assistant/tool turns; before them perhaps "tools", a JSON list of what may be called, and among them "call", a
    JSON list of the calls that the assistant makes. pair: user, assistant (or system, user, assistant).
    text: one "text". preference: turns as of messages, the last of them a question, then "chosen" and "rejected".
    feedback: turns as of messages, the last of them a question, then an answer that is "liked" or "disliked". Such an answer may be a JSON list of calls.
    fields: the file's other columns, sealed with the record until deid has used and dropped them.
    """

    id: str
    unit: str
    source: str
    kind: Kind
    roles: tuple[str, ...]
    texts: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)

    def to_line(self) -> bytes:
        """Return the record as one line of UTF-8 JSON, newline included."""
        row = (
            f'{{"id":{_quoted(self.id)},"unit":{_quoted(self.unit)},"source":{_quoted(self.source)},"kind":{_quoted(self.kind)},'
            f'"roles":{_listed(self.roles)},"texts":{_listed(self.texts)}'
        )
        row += f',"fields":{_encode(self.fields)}}}\n' if self.fields else "}\n"
        return row.encode("utf-8", "surrogatepass")

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """Return the record that `to_line` wrote."""
        row = _decode(line.decode("utf-8", "surrogatepass"))
        return cls(
            id=row["id"],
            unit=row["unit"],
            source=row["source"],
            kind=row["kind"],
            roles=tuple(row["roles"]),
            texts=tuple(row["texts"]),
            fields=row.get("fields", {}),
        )

    def content(self) -> bytes:
        """Return the bytes over which equal content is recognised: kind, roles and texts, no ids, no fields."""
        return f"[{_quoted(self.kind)},{_listed(self.roles)},{_listed(self.texts)}]".encode("utf-8", "surrogatepass")

    def with_texts(self, texts: tuple[str, ...], *, keep_fields: bool = True) -> Record:
        """Return a copy with other texts, in the same order and number."""
        if len(texts) != len(self.texts):
            raise ValueError(f"{len(texts)} texts for {len(self.texts)}")
        return Record(self.id, self.unit, self.source, self.kind, self.roles, texts, self.fields if keep_fields else {})

    def prompt(self) -> tuple[Message, ...]:
        """Return the turns before the last answer; empty for plain text."""
        if self.kind == "text":
            return ()
        last = max(i for i, role in enumerate(self.roles) if role in ANSWERS)
        return tuple(
            Message(role, text)  # type: ignore[arg-type]  # roles before the answer are chat roles by construction
            for role, text in zip(self.roles[:last], self.texts[:last], strict=True)
        )


def _listed(texts: tuple[str, ...]) -> str:
    """Return a JSON list of strings."""
    return f"[{','.join(map(_quoted, texts))}]"
