"""Conversations as a model reads them: through the chat template of its own tokeniser, tools and their calls included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from jinja2 import TemplateError

from ringfence.models.prelude import NO_THOUGHT, TOLD, own

_MARK = "\u2063ringfence\u2063"  # stands for an answer whose place is looked for; no template asks about it

Turn = dict[str, Any]  # an OpenAI message


@dataclass(frozen=True)
class Chat:
    """The turns of a conversation, and the tools that the model may call in it."""

    turns: list[Turn]
    tools: list[Any] | None = None


class Spoken(NamedTuple):
    """A conversation as one text, and where its answers stand, each with the mark that ends it."""

    text: str
    answers: list[tuple[int, int]]  # first and last + 1 character


def chat_of(roles: Sequence[str], texts: Sequence[str]) -> Chat:
    """Return the turns of a record. roles: system, user, assistant and tool; "tools" first, a JSON list of schemas; "call", a JSON list of calls.

    What is no JSON any more, after an identifier in it was replaced, is said as it stands.
    """
    tools: list[Any] | None = None
    turns: list[Turn] = []
    for role, text in zip(roles, texts, strict=True):
        if role == "tools" and isinstance(found := _json(text), list):
            tools = [_schema(one) for one in found]
        elif role == "tools":
            turns.append({"role": "system", "content": text})
        elif role == "call" and (calls := _calls(text)):
            before = turns.pop()["content"] if turns and _may_call(turns[-1]) else ""
            turns.append({"role": "assistant", "content": before, "tool_calls": calls, "said": f"{before}\n{text}" if before else text})
        else:
            turns.append({"role": "assistant" if role == "call" else role, "content": text})
    return Chat(turns, tools)


def _may_call(turn: Turn) -> bool:
    """Return whether a call that follows belongs to this turn: a model says something and calls at once."""
    return turn["role"] == "assistant" and "said" not in turn


def _json(text: str) -> Any:  # noqa: ANN401  any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_call(text: str) -> bool:
    """Return whether a text is a JSON list of calls as records hold them, and nothing else."""
    found = _json(text)
    calls = found if isinstance(found, list) else []
    return bool(calls) and all(
        isinstance(one, dict) and one.keys() == {"name", "arguments"} and isinstance(one["name"], str) for one in calls
    )


def _schema(tool: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return a tool in OpenAI's form, as templates expect it; many files leave out what stands around the function."""
    return {"type": "function", "function": tool} if isinstance(tool, dict) and "name" in tool and "function" not in tool else tool


def _calls(text: str) -> list[Turn]:
    found = _json(text)
    calls = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return []
    return [{"type": "function", "function": {"name": call["name"], "arguments": call.get("arguments", {})}} for call in calls]


def render(tokenizer: Any, chat: Chat, *, prompts: bool = False) -> str:  # noqa: ANN401  transformers is untyped
    """Return the text of a conversation. prompts: the model is to answer it.

    A template that knows no tools is told of them in the system's turn, and reads a call as its JSON.

    Raises: jinja2.TemplateError where the template has no place for a role or an order of roles.
    """
    template: str = tokenizer.get_chat_template(tools=chat.tools)  # some models have one of their own for tools
    turns, more = chat.turns, {}
    known = own(template)
    if "tool_calls" not in known:
        turns = [{"role": "assistant", "content": turn["said"]} if "said" in turn else turn for turn in turns]
    if NO_THOUGHT in template:
        turns = [_thoughtless(turn) for turn in turns]
    if chat.tools and "tools" in known:
        more["tools"] = chat.tools
    elif chat.tools:
        told = "Tools:\n" + json.dumps(chat.tools, ensure_ascii=False)
        is_told = bool(turns) and turns[0]["role"] == "system"
        first = (
            {"role": "system", "content": f"{turns[0]['content']}\n\n{told}"}
            if is_told
            else {"role": "system", "content": told, TOLD: True}
        )
        turns = [first, *turns[is_told:]]
    return _written(tokenizer, turns, prompts=prompts, **more)


def answer_of(tokenizer: Any, turn: Turn) -> str:  # noqa: ANN401
    """Return what an assistant's turn says or calls, without its train of thought where the run has no thoughts."""
    if "said" in turn:
        return str(turn["said"])
    return str((_thoughtless(turn) if NO_THOUGHT in tokenizer.get_chat_template() else turn)["content"])


def _thoughtless(turn: Turn) -> Turn:
    """Return a turn without its train of thought, as templates leave it out of what was said before."""
    said = turn["content"]
    return {**turn, "content": said.rpartition("</think>")[2].lstrip("\n")} if turn["role"] == "assistant" else turn


def _written(tokenizer: Any, turns: list[Turn], *, prompts: bool, **more: Any) -> str:  # noqa: ANN401
    """Return what the template makes of turns. Some want the arguments of a call as an object, some as its JSON, which they would write as Python does.

    Raises: jinja2.TemplateError, whatever the template stumbles on; without a word of what it was to write.
    """
    objects = [call["function"]["arguments"] for turn in turns for call in turn.get("tool_calls", ())]
    for said in (turns, [_with_json(turn) for turn in turns]) if objects else (turns,):
        try:
            text: str = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=prompts, **more)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112  a template is a program of somebody else's
            continue
        if said is not turns or not any(isinstance(one, dict) and one and str(one) in text for one in objects):
            return text
    raise TemplateError("turns that it cannot write")


def _with_json(turn: Turn) -> Turn:
    if "tool_calls" not in turn:
        return turn
    calls = [one["function"] for one in turn["tool_calls"]]
    told = [{**call, "arguments": json.dumps(call["arguments"], ensure_ascii=False)} for call in calls]
    return {**turn, "tool_calls": [{"type": "function", "function": call} for call in told]}


def speak(tokenizer: Any, chat: Chat) -> Spoken:  # noqa: ANN401
    """Return a conversation as one text, with the places of its answers: what a model says where it is asked, and the end token after it.

    Some templates write an answer otherwise once others follow it (a train of thought is left out of what was said before): then its place is found by
    putting a mark where it stands.

    Raises: jinja2.TemplateError, also where an answer is not to be found.
    """
    end: str = tokenizer.eos_token
    places = [i for i, turn in enumerate(chat.turns) if turn["role"] == "assistant"]
    text = render(tokenizer, chat)
    answers: list[tuple[int, int]] = []
    for i in places:
        question = render(tokenizer, Chat(chat.turns[:i], chat.tools), prompts=True) if i else ""
        whole = text if i == len(chat.turns) - 1 else render(tokenizer, Chat(chat.turns[: i + 1], chat.tools))
        if whole.startswith(question) and text.startswith(whole):
            # what follows the end token is the next question's
            stop = whole.rfind(end) + len(end) if end in whole[len(question) :] else len(whole)
            answers.append((len(question), stop))
        else:
            answers.append(_found(tokenizer, chat, i, text=text, question=question))
    if not all(_is_written(chat.turns[i], text[start:stop]) for i, (start, stop) in zip(places, answers, strict=True)):
        raise TemplateError("an answer that is not written")
    if any(stop > start for (_, stop), (start, _) in pairwise(answers)):
        raise TemplateError("answers that overlap")
    return Spoken(text, answers)


def closing(tokenizer: Any) -> str:  # noqa: ANN401
    """Return the token that closes an answer: the special one that the template writes after it, else the tokeniser's end token.

    Base models often have a template whose turns end otherwise than their texts do.
    """
    own: str = tokenizer.eos_token
    try:
        after = render(tokenizer, Chat([{"role": "user", "content": "-"}, {"role": "assistant", "content": _MARK}])).partition(_MARK)[2]
    except TemplateError:
        return own
    if own in after:
        return own
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return max((token for token in special if after.lstrip().startswith(token)), key=len, default=own)


def text_end(tokenizer: Any) -> str:  # noqa: ANN401
    """Return the token that ends a text which is no conversation: the tokeniser's own, whatever closes an answer."""
    return str(tokenizer.init_kwargs.get("eos_token", tokenizer.eos_token))  # setting another leaves these as they were


def _is_written(turn: Turn, answer: str) -> bool:
    """Return whether a template wrote what is said or called, perhaps without its train of thought: those of models that see pictures may not."""
    if "said" in turn:
        return all(call["function"]["name"] in answer for call in turn["tool_calls"])
    said: str = turn["content"]
    return said.rpartition("</think>")[2].strip() in answer


def _found(tokenizer: Any, chat: Chat, i: int, *, text: str, question: str) -> tuple[int, int]:  # noqa: ANN401
    marked = [*chat.turns[:i], {"role": "assistant", "content": _MARK}, *chat.turns[i + 1 :]]
    before, mark, after = render(tokenizer, Chat(marked, chat.tools)).partition(_MARK)
    if not mark or not text.startswith(before) or not text.endswith(after):
        raise TemplateError("an answer that is not to be found")
    start = len(question) if before.startswith(question) else len(before)
    closing = len(after) - len(after.lstrip())
    is_closed = after.startswith(tokenizer.eos_token, closing)
    return start, len(text) - len(after) + (closing + len(tokenizer.eos_token) if is_closed else 0)
