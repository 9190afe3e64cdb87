"""Reads YAML into plain values that still know their lines, for `config.py`.

It reads as PyYAML's safe loader does, but for what a configuration of prices cannot bear:

- a number written like a float becomes a Decimal of its very text; PyYAML makes a float of `0.1` and a text of `1e-7`;
- a key given twice is an error, where PyYAML keeps the last in silence;
- dates stay text, for nothing here is a date;
- aliases are followed only as far as the limits below allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# What a value may be. Keys of a mapping are text: of `{50256: -100}`, the text "50256".
Value = None | bool | int | Decimal | str | list["Value"] | dict[str, "Value"]

# Aliases repeat what they name, and aliases of aliases multiply it. A file of 4 MiB without any has fewer than a
# million values; one that unfolds to more is an attack or an accident.
MAX_VALUES = 1_000_000
# LiteLLM's deepest setting is 7 levels down; this also ends an alias that names its own parent.
MAX_DEPTH = 64

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"""^[-+]?(?:
        [0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
      | \.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
      | [0-9][0-9_]*[eE][-+]?[0-9]+
    )$""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands. `key`: a path like `model_list[0].litellm_params.rpm`. Line 0: nowhere in particular."""

    file: str
    line: int = 0
    key: str = ""

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}{line}:{key}"


class ConfigError(ValueError):
    """A configuration that cannot be used. Its text is one line that says where and why, never a secret."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"{place} {message}")
        self.file = place.file
        self.line = place.line
        self.key = place.key
        self.message = message


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file, and the line of each by its path."""

    name: str
    root: Value
    lines: Mapping[str, int]

    def place(self, key: str) -> Place:
        """Where the value of a path stands; of one that is absent, where what should hold it stands."""
        known = key
        while known and known not in self.lines:
            known = known[: max(known.rfind("."), known.rfind("["), 0)]
        return Place(self.name, self.lines.get(known, 0), key)


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser, with our own idea of numbers, and no deeper than we can follow."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=mark)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_NOT_OURS = (f"{_TAG}float", f"{_TAG}timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_OURS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))


def read(text: str, name: str) -> Document:
    """Read the text of a file that errors call `name`. ConfigError when it is no YAML that can be used."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(Place(name, mark.line + 1 if mark else 0), f"no valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(Place(name, line), "no valid YAML: a character that YAML does not allow") from error
    reader = _Reader(name)
    root = reader.value(node, "", 0) if node is not None else None
    return Document(name, root, reader.lines)


@dataclass(slots=True)
class _Reader:
    """Turns nodes into values."""

    name: str
    lines: dict[str, int] = field(default_factory=dict)
    values: int = 0

    def value(self, node: Node, path: str, depth: int) -> Value:
        self.values += 1
        if self.values > MAX_VALUES:
            raise self._error(node, path, f"more than {MAX_VALUES} values, aliases unfolded")
        if depth > MAX_DEPTH:
            raise self._error(node, "", _TOO_DEEP)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: str, depth: int) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        own: dict[str, Value] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(value_node, path, depth, into=merged)
                continue
            if not isinstance(key_node, ScalarNode):
                raise self._error(key_node, path, "a key must be a text, not a list or a mapping")
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in own:
                raise self._error(key_node, path, f"the key {key!r} is given twice, first in line {own_lines[key]}")
            child = f"{path}.{key}" if path else key
            # The key's line, not the value's: that is where a reader looks. It wins over a merged one's.
            own_lines[key] = self.lines[child] = line
            own[key] = self.value(value_node, child, depth + 1)
        return merged | own

    def _merge(self, node: Node, path: str, depth: int, into: dict[str, Value]) -> None:
        """`<<`: the members of another mapping, or of several, of which the first wins."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            members = self.value(source, path, depth + 1)
            if not isinstance(members, dict):
                raise self._error(source, path, "`<<` merges mappings only")
            for key, value in members.items():
                into.setdefault(key, value)

    def _scalar(self, node: Node, path: str) -> Value:
        read = _SCALARS.get(node.tag)
        if read is None:
            raise self._error(node, path, f"the tag {node.tag!r} is not supported")
        try:
            return read(node)
        except (ValueError, ArithmeticError, KeyError) as error:
            raise self._error(node, path, f"no {node.tag.removeprefix(_TAG)} that can be read") from error

    def _error(self, node: Node, path: str, message: str) -> ConfigError:
        return ConfigError(Place(self.name, node.start_mark.line + 1, path), message)


_construct: Any = SafeConstructor()
_SCALARS: Mapping[str, Callable[[Any], Value]] = {
    f"{_TAG}null": lambda node: None,
    f"{_TAG}bool": _construct.construct_yaml_bool,
    f"{_TAG}int": _construct.construct_yaml_int,
    f"{_TAG}float": lambda node: Decimal(node.value),
    f"{_TAG}str": lambda node: node.value,
    # `=`, a relic of YAML 1.1.
    f"{_TAG}value": lambda node: node.value,
}
