"""Candidates for internal terms on the terminal, and the warning that some of them wait."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from ringfence.cli.context import options
from ringfence.cli.streams import printable
from ringfence.core.errors import WorkspaceError
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.workspace.space import Workspace


def note_unreviewed(space: Workspace, name: str) -> None:
    """Warn on standard error while a strong candidate of the set waits for a decision. A warning: it refuses nothing."""
    from ringfence.flows.terms import unreviewed

    try:
        thing = space.state.resolve(name)
    except WorkspaceError:  # the command itself will say so
        return
    count = unreviewed(space, thing)
    if count and not options().quiet:
        note = t(
            "note: {n} strong candidates for internal terms of {set} wait for a decision (ringfence deid terms review {set})",
            "提示：{set} 有 {n} 个内部术语强候选尚未决定（ringfence deid terms review {set}）",
            n=count,
            set=thing.made.name,
        )
        print(note, file=sys.stderr, flush=True)


def show_candidate(row: dict[str, Any], *, to: TextIO | None = None) -> None:
    """Print what is known of one candidate, or one term of the dictionary."""
    shown = {"accept": t("accepted", "接受"), "keep": t("kept", "保留"), "generalise": t("generalised", "泛化")}
    decided = shown.get(row.get("decision") or "", "")
    if row.get("as"):
        decided += f" ({row['as']})"
    head = [f"{row['number']:>4} " if "number" in row else "", row["term"]]
    if "count" in row:
        head.append(t("  {n}×  score {score:.1f}", "  {n} 次  得分 {score:.1f}", n=row["count"], score=row["score"]))
        head.append(t("  strong", "  强") if row["strong"] else "")
    head.append(f"  [{decided}]" if decided else "")
    if row.get("linked"):
        head.append(t("  linked to {term}", "  关联 {term}", term=row["linked"]))
    print(printable("".join(head)), file=to or sys.stdout)
    for context in row.get("contexts", ()):
        print(printable(f"       {context}"), file=to or sys.stdout, flush=True)
