"""The safety verdict on a base model: a closed list of checks, each with its outcome and one sentence. Reads names, headers and the chat template.

Most of what would fail is refused at import already; the verdict is the record that it was looked at. It says nothing about what the weights learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.settings import Settings
from ringfence.core.text import Text
from ringfence.models.folder import ModelFolder

Outcome = Literal["pass", "warn", "fail"]
UNKNOWN = "unknown"  # licence

# What each outcome of each rule says. A rule without a `fail` is one whose failure is refused at import, or is no failure.
SENTENCES: Mapping[str, Mapping[Outcome, Text]] = {
    "weights": {
        "pass": Text(
            "every weight lies in safetensors files whose headers account for every byte; nothing is pickled",
            "所有权重都在 safetensors 文件中，文件头与每个字节对应；没有 pickle",
        )
    },
    "code": {
        "pass": Text("no file holds code, and no key of a configuration chooses any", "没有含代码的文件，也没有会选择代码的配置键"),
    },
    "architecture": {"pass": Text("the architecture is one that ringfence knows", "架构为 ringfence 所认识")},
    "tokenizer": {
        "pass": Text("the tokeniser or vocabulary travels with the weights", "分词器或词表与权重在一起"),
    },
    "template": {
        "pass": Text(
            "its chat template can be read, and asks for nothing that the sandbox of Jinja refuses",
            "对话模板可以解析，且不要求 Jinja 沙箱所拒绝的内容",
        ),
        "warn": Text(
            "it has no chat template of its own, or one that could not be looked at here (over 1 MB, or the extra [train] is missing)",
            "没有自己的对话模板，或在此无法查看（超过 1 MB，或缺少 [train] 附加组件）",
        ),
        "fail": Text(
            "its chat template cannot be read, or asks for what the sandbox of Jinja refuses",
            "对话模板无法解析，或要求 Jinja 沙箱所拒绝的内容",
        ),
    },
    "licence": {
        "pass": Text("its licence is stated", "许可证已写明"),
        "warn": Text("nobody said under which licence it stands: use --licence", "没有写明许可证：请用 --licence"),
    },
    "provenance": {
        "pass": Text("who imported it said where it came from", "导入者写明了来处"),
        "warn": Text("nobody said where it came from: use --from", "没有写明来处：请用 --from"),
    },
    "signature": {
        "pass": Text("a publisher's signature covers every file", "发布者的签名覆盖每个文件"),
        "warn": Text(
            "no publisher signed it, or the signature was not checked: use --signature", "没有发布者的签名，或未核对：请用 --signature"
        ),
    },
}


class Check(Settings):
    """One rule and its outcome."""

    rule: Annotated[str, Field(pattern=r"^[a-z]{1,32}$")]
    outcome: Outcome

    def sentence(self) -> str:
        """Return what the outcome means, in the reader's language; "" for a rule of another version."""
        found = SENTENCES.get(self.rule, {}).get(self.outcome)
        return found.show() if found else ""


def assess(folder: ModelFolder, *, licence: str, provenance: str, is_signed: bool) -> tuple[Check, ...]:
    """Return the verdict on an accepted folder, a check for every rule in the order of `SENTENCES`.

    Raises: UnsafeFile.
    """
    accepted: dict[str, Outcome] = dict.fromkeys(("weights", "code", "architecture", "tokenizer"), "pass")  # else `check_folder` refused it
    outcomes: dict[str, Outcome] = {
        **accepted,
        **({"template": template_outcome(folder.chat_template())} if folder.kind == "decoder" else {}),
        "licence": "warn" if licence == UNKNOWN else "pass",
        "provenance": "pass" if provenance else "warn",
        "signature": "pass" if is_signed else "warn",
    }
    return tuple(Check(rule=rule, outcome=outcomes[rule]) for rule in SENTENCES if rule in outcomes)


def template_outcome(template: str) -> Outcome:
    """Return what is to be said of a chat template, by its syntax: it is never run on the host."""
    if not template:
        return "warn"
    try:
        from ringfence.models.template import is_sandboxed  # noqa: PLC0415  Jinja belongs to the extra [train]
    except ImportError:
        return "warn"
    return "pass" if is_sandboxed(template) else "fail"
