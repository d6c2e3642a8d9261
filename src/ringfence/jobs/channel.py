"""The child's end of the conversation: implements `core.order.Channel` over frames."""

from __future__ import annotations

from typing import Any

from ringfence.core.order import CheckpointGrant, CheckpointReady, Failure, Figures, Lease, Progress
from ringfence.jobs.frames import FrameSocket


class ChildChannel:
    """What a job uses to report progress, hand over checkpoints and, where its row allows, talk."""

    def __init__(self, frames: FrameSocket) -> None:
        self._frames = frames
        self._stop = False

    def progress(self, progress: Progress) -> None:
        """Say how far the job has come."""
        self._frames.send("progress", **progress.model_dump(mode="json"))

    def checkpoint(self, ready: CheckpointReady) -> tuple[CheckpointGrant, bytes]:
        """Announce a checkpoint; return the next slot and its data key once the host has committed it."""
        self._frames.send("checkpoint", **ready.model_dump(mode="json"))
        frame = self._await("grant")
        grant = CheckpointGrant.model_validate(frame["grant"])
        self._stop = self._stop or grant.stop
        return grant, bytes.fromhex(frame["key"])

    def lease(self, steps: int) -> int:
        """Ask for more steps of the plan; return how many may be made now."""
        self._frames.send("lease", **Lease(steps=steps).model_dump(mode="json"))
        return Lease.model_validate(self._await("leased")["lease"]).steps

    def should_stop(self) -> bool:
        """Return True when the host asked the job to stop soon. Never blocks."""
        while not self._stop:
            frame = self._frames.receive(0)
            if frame is None:
                break
            self._stop = frame["type"] == "stop"
        return self._stop

    def say(self, text: str) -> None:
        """Send text to the person."""
        self._frames.send("say", text=text)

    def hear(self) -> str | None:
        """Return the person's next text, or None at the end of the conversation."""
        self._frames.send("ask")
        text = self._await("hear")["text"]
        return text if isinstance(text, str) else None

    def done(self, figures: Figures) -> None:
        """Send the result."""
        self._frames.send("done", figures=figures.model_dump(mode="json"))

    def failed(self, failure: Failure) -> None:
        """Send why there is no result."""
        self._frames.send("failed", **failure.model_dump(mode="json"))

    def _await(self, kind: str) -> dict[str, Any]:
        while True:
            frame = self._frames.receive()
            if frame is None or frame["type"] == kind:
                return frame or {}
            if frame["type"] == "stop":
                self._stop = True
