"""One conversation, question by question. Child halves only: this module imports torch."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.guard.replay import ReplayGuard
from ringfence.models.load import Loaded
from ringfence.serve.decode import Decoder
from ringfence.serve.settings import END_OF_TURN, ChatSettings
from ringfence.serve.wire import Ask, Turn


class Talk:
    """Answers one person. blocked: tokens that the replay guard refused; tokens: what was generated."""

    def __init__(self, loaded: Loaded, settings: ChatSettings, guard: ReplayGuard | None = None) -> None:
        loaded.model.eval()
        self._loaded, self._settings, self._guard = loaded, settings, guard
        self._history: list[Turn] = []
        self.turns = self.tokens = self.blocked = 0

    def answer(self, question: str, say: Callable[[str], None]) -> str:
        """Return the answer to `question`, after saying it in pieces.

        Raises: jinja2.TemplateError where the model's chat template refuses the conversation.
        """
        settings = self._settings
        system = [Turn(role="system", content=settings.system)] if settings.system is not None else []
        turns = [*self._history, Turn(role="user", content=question)]
        ask = Ask(
            id=self.turns,
            messages=(*system, *turns),
            max_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed + self.turns,
        )
        answer, parts, finish = Decoder(self._loaded, ask, guard=self._guard), [], None
        while finish is None:
            said = answer.step()
            finish = said.finish
            if clean := said.text.replace(END_OF_TURN, ""):  # the end mark is ours alone, so a model cannot end a turn early
                parts.append(clean)
                say(clean)
        self.turns += 1
        self.tokens += said.tokens
        self.blocked += said.blocked
        if settings.keep_history:
            self._history = [*turns, Turn(role="assistant", content="".join(parts))]
        return "".join(parts)
