"""What a run puts before a model's own chat template, so that everybody who uses the template begins a conversation as training did. Light: strings alone.

The template travels with an adapter, and with it what stands here: no tool needs to be told of it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

TEMPLATE = "chat_template.jinja"  # the file of a chat template, in a model's folder and in a bundle
NO_THOUGHT = "{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}\n"
TOLD = "is_told"  # of a system turn: it tells of tools, and the system message stands before it

# Blocks end with a line break, which templates are read without: what follows begins on a line of its own, as it did.
_SYSTEM = (
    "{{%- if not messages or messages[0]['role'] != 'system' %}}"
    "{{%- set messages = [{{'role': 'system', 'content': {text}}}] + messages %}}"
    "{{%- elif messages[0]['{told}'] %}}"
    "{{%- set messages = [{{'role': 'system', 'content': {text} + '\\n\\n' + messages[0]['content']}}] + messages[1:] %}}"
    "{{%- endif %}}\n"
)
_END = "{#- the model's own template #}\n"


class Prelude(NamedTuple):
    """How conversations begin that do not say it themselves."""

    system: str | None = None  # the system message; None: what the template writes by itself
    thinks: bool = True  # False: a template that knows `enable_thinking` is told that no thought comes before an answer

    def before(self, template: str) -> str:
        """Return a chat template with the prelude before it."""
        thought = "" if self.thinks or "enable_thinking" not in template else NO_THOUGHT
        # A string of JSON is one of Jinja, too, as long as no character outside of the first plane is written as two.
        told = "" if self.system is None else _SYSTEM.format(text=json.dumps(self.system, ensure_ascii=False), told=TOLD)
        return thought + told + _END + template if thought or told else template


def own(template: str) -> str:
    """Return a chat template without the prelude before it."""
    return template.rpartition(_END)[2]


AS_IT_IS = Prelude()
