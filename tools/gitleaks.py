r"""Translate the rules of gitleaks for `re`: python tools/gitleaks.py gitleaks.toml src/ringfence/deid/data/gitleaks.json.

Run by hand when the rules are updated; ringfence ships its output, with the licence of gitleaks beside it (data/gitleaks.LICENSE). A rule looks
at a line of code there, and at a sentence here:
- The words before an identifier (`[\w.-]{0,50}?`) decide nothing and cost much, so they are left out.
- What joins a name and its secret is also a colon of full width; what may end a secret also a comma, a bracket, a full stop or a character
  of another script.
- A text begins and ends at a NUL.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from re import _parser as parser
from typing import Any

_BEFORE_IDENTIFIER = r"[\w.-]{0,50}?"
_EDITS = (
    (r"(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)", r"(?:=|>|:{1,3}=|\|\||:|：|=>|\?=|,)"),
    (r"""(?:[\x60'"\s;]|\\[nr]|$)""", r"""(?:[\x60'"\s;,<>)\]}]|[.:!?](?:\s|$|[^\x00-\x7F])|\\[nr]|[^\x00-\x7F]|$)"""),
    (r"""(?:^|[\\'"\x60\s>=:(,)])""", r"(?<![a-zA-Z0-9_~.])"),  # azure-ad-client-secret
    (r"""(?:$|[\\'"\x60\s<),])""", r"(?![a-zA-Z0-9_~])"),
)
_CLASSES = {"[:alnum:]": "A-Za-z0-9", "[:alpha:]": "A-Za-z", "[:digit:]": "0-9", "[:word:]": r"\w", "[:xdigit:]": "A-Fa-f0-9"}
_FLAGS = re.compile(r"\(\?([a-z-]+)\)")
_UNESCAPED = re.compile(r"\\.|[\[\]]")
_ENDS = {"^": r"(?<![^\x00])", "$": r"\Z"}
_LEFT_OUT = {
    "hashicorp-tf-password": "its form is any quoted word behind `password`, which only the name of a *.tf file makes a secret",
    "kubernetes-secret-yaml": "it is for *.yaml files, and `re`, which tracks back, takes seconds for a kilobyte made against it",
}
_DROPPED = {"intra42-client-secret": {"intra"}}  # the rule's other key words begin every match
_WHOLE = {"jwt-base64", "microsoft-teams-webhook"}  # group 1 is a part of the secret
_REACH = {"private-key": 16_384}  # characters behind the key word, if not the usual
_BEFORE, _NEAR, _MOST = 200, 64, 2_048  # characters: before a key word, from it to a match without it, of a match
_SAMPLES = 60


def main(source: str, target: str) -> None:
    """Write the rules of the TOML file `source` to the JSON file `target`, and say what is left out."""
    config = tomllib.loads(Path(source).read_text(encoding="utf-8"))
    rules = []
    for rule in config["rules"]:
        reason = _LEFT_OUT.get(rule["id"]) or ("" if "regex" in rule else "it looks at file names only")
        if reason:
            sys.stderr.write(f"left out: {rule['id']}: {reason}\n")
        else:
            rules.append(_translated(rule))
    allow = {"regexes": [translate(r) for r in config["allowlist"]["regexes"]], "stopwords": config["allowlist"]["stopwords"]}
    data = {"allow": allow, "rules": rules}
    Path(target).write_text(json.dumps(data, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    sys.stderr.write(f"{len(rules)} of {len(config['rules'])} rules\n")


def _translated(rule: dict[str, Any]) -> dict[str, Any]:
    regex = translate(rule["regex"])
    keywords = sorted(set(rule["keywords"]) - _DROPPED.get(rule["id"], set()))
    made: dict[str, Any] = {"id": rule["id"], "regex": regex, "keywords": keywords}
    if "entropy" in rule:
        made["entropy"] = rule["entropy"]
    if "secretGroup" in rule or rule["id"] in _WHOLE:
        made["group"] = rule.get("secretGroup", 0)
    if rule["id"] in _REACH:
        made["reach"] = _REACH[rule["id"]]
    dice = random.Random(0)
    samples = [sample(regex, dice).lower() for _ in range(_SAMPLES)]
    if not all(text.startswith(tuple(keywords)) for text in samples):  # the match does not begin with the key word
        width = min(_MOST, int(_parsed(regex).getwidth()[1]))
        holds_it = all(any(word in text for word in keywords) for text in samples)
        made |= {"before": min(width, _BEFORE) if holds_it else _BEFORE, "near": 0 if holds_it else _NEAR, "reach": width + _NEAR}
    if allow := [_allowed(entry) for entry in rule.get("allowlists", ()) if "paths" not in entry]:
        made["allow"] = allow
    return made


def _allowed(entry: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {key: entry[key] for key in ("stopwords",) if key in entry}
    if "regexes" in entry:
        made["regexes"] = [translate(regex) for regex in entry["regexes"]]
    if "regexTarget" in entry:
        made["target"] = entry["regexTarget"]
    return made


def translate(regex: str) -> str:
    r"""Return a regular expression of Go's RE2 for Python's `re`: flags in the middle scoped, POSIX classes written out, \z as \Z.

    A flag in the middle of a group holds to the group's end, over every `|`, so it is opened again behind each.
    """
    for go, here in _EDITS:
        regex = regex.replace(go, here)
    regex = regex.replace(_BEFORE_IDENTIFIER, "")
    done: list[str] = []
    open_flags: list[list[str]] = [[]]  # of each open group: the flags set in it
    at = 0
    while at < len(regex):
        if flags := _FLAGS.match(regex, at):
            open_flags[-1].append(flags[1])
            done.append(f"(?{flags[1]}:")
            at = flags.end()
            continue
        piece = _piece(regex, at)
        at += len(piece)
        if piece == "(":
            open_flags.append([])
        elif piece == ")":
            piece = ")" * len(open_flags.pop()) + ")"
        elif piece == "|" and open_flags[-1]:
            piece = ")" * len(open_flags[-1]) + "|" + "".join(f"(?{f}:" for f in open_flags[-1])
        elif piece[0] == "[":
            piece = _character_class(piece)
        elif piece == r"\z":
            piece = r"\Z"
        done.append(_ENDS.get(piece, piece))
    made = "".join(done) + ")" * len(open_flags[-1])
    re.compile(made, re.ASCII)
    return made


def _piece(regex: str, at: int) -> str:
    """Return the escape, the class or the character that begins at `at`."""
    if regex[at] == "\\":
        return regex[at : at + 2]
    if regex[at] != "[":
        return regex[at]
    end = at + 1
    end += regex[end] == "^"
    end += regex[end] == "]"
    while regex[end] != "]":
        posix = next((name for name in _CLASSES if regex.startswith(name, end)), "")
        end += len(posix) or (2 if regex[end] == "\\" else 1)
    return regex[at : end + 1]


def _character_class(written: str) -> str:
    for posix, here in _CLASSES.items():
        written = written.replace(posix, here)
    head = "[^" if written.startswith("[^") else "["
    body = written[len(head) : -1]
    return head + _UNESCAPED.sub(lambda match: match[0] if match[0][0] == "\\" else "\\" + match[0], body) + "]"


def sample(regex: str, dice: random.Random) -> str:
    """Return a random string that `regex` matches; look-around and anchors are taken to hold."""
    return _sample(_parsed(regex), dice)


@cache
def _parsed(regex: str) -> Any:  # noqa: ANN401  the parser has no public types
    return parser.parse(regex, re.ASCII)


def _sample(tree: Any, dice: random.Random) -> str:  # noqa: ANN401
    return "".join(_SAMPLERS[str(op)](value, dice) for op, value in tree)


def _one_of(items: list[tuple[Any, Any]], dice: random.Random) -> str:
    return dice.choice(_members(tuple(items)))


@cache
def _members(items: tuple[tuple[Any, Any], ...]) -> str:
    printable = "".join(map(chr, range(33, 127))) + "\uff0c"
    if str(items[0][0]) == "NEGATE":
        return "".join(c for c in printable if not any(_holds(item, c) for item in items[1:]))
    return "".join(c for c in printable + " \n" if any(_holds(item, c) for item in items))


def _holds(item: tuple[Any, Any], character: str) -> bool:
    op, value = str(item[0]), item[1]
    if op == "LITERAL":
        return ord(character) == value
    if op == "RANGE":
        return value[0] <= ord(character) <= value[1]
    escape = {"WORD": r"\w", "DIGIT": r"\d", "SPACE": r"\s"}[str(value).rsplit("_", 1)[-1]]
    holds = re.fullmatch(escape, character, re.ASCII) is not None
    return holds != ("_NOT_" in str(value))


def _repeated(value: tuple[int, int, Any], dice: random.Random) -> str:
    least, most, tree = value
    return "".join(_sample(tree, dice) for _ in range(dice.randint(int(least), min(int(most), int(least) + 12))))


_SAMPLERS = {
    "LITERAL": lambda value, _: chr(value),
    "NOT_LITERAL": lambda value, dice: _one_of([(parser.NEGATE, None), (parser.LITERAL, value)], dice),
    "ANY": lambda _, dice: dice.choice("abcdefghij"),
    "IN": _one_of,
    "BRANCH": lambda value, dice: _sample(dice.choice(value[1]), dice),
    "SUBPATTERN": lambda value, dice: _sample(value[3], dice),
    "MAX_REPEAT": _repeated,
    "MIN_REPEAT": _repeated,
    "AT": lambda _, __: "",
    "ASSERT": lambda _, __: "",
    "ASSERT_NOT": lambda _, __: "",
}

if __name__ == "__main__":
    main(*sys.argv[1:3])
