"""A chat template read, not run: whether it asks for anything that the sandbox in which transformers renders it refuses."""

from __future__ import annotations

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_OTHER_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_CHANGES = frozenset(  # methods of lists and dictionaries that `ImmutableSandboxedEnvironment` refuses
    ("append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update")
)


class _Generation(Extension):
    """The tag with which templates mark what the model says.

    Source: `AssistantTracker` in transformers 5.23, `utils/chat_template_utils.py`.
    """

    tags = {"generation"}  # noqa: RUF012  jinja2 reads a plain set

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_ENVIRONMENT = ImmutableSandboxedEnvironment(extensions=[_Generation, "jinja2.ext.loopcontrols"])


def is_sandboxed(template: str) -> bool:
    """Return whether a template can be parsed, names no other file, reaches for nothing private, and changes nothing that it is given.

    Source: `is_safe_attribute` and `modifies_known_mutable` of jinja2.sandbox. Attributes that only a value's type makes unsafe show when it is rendered,
    in the job's own sandbox.
    """
    try:
        tree = _ENVIRONMENT.parse(template)
        return not any(True for _ in tree.find_all(_OTHER_FILES)) and not any(
            map(_is_refused, tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Call, nodes.Filter)))
        )
    except (TemplateSyntaxError, RecursionError):
        return False


def _is_refused(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr.startswith("_")
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and str(node.arg.value).startswith("__")
    if isinstance(node, nodes.Filter):
        return node.name == "attr" and any(isinstance(one, nodes.Const) and str(one.value).startswith("_") for one in node.args)
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in _CHANGES
