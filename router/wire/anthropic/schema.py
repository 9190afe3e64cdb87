"""JSON schemas as Claude's structured outputs take them: every object closed, and few keywords that limit a value.

A limit that has no keyword there becomes part of the description, where the model reads it. Some schemas cannot be
said at all: a map with any keys, one that refers to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from router.wire.members import read

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", dict[str, Any], list[Any])

# Deeper ones are refused long before; the recursion must end somewhere.
_MAX_DEPTH = 64

_KEPT = frozenset(
    (
        "$id",
        "$ref",
        "$schema",
        "const",
        "default",
        "description",
        "enum",
        "pattern",
        "required",
        "title",
        "type",
    )
)
_MAPS = ("properties", "$defs", "definitions")
# A choice of exactly one is as good as a choice.
_CHOICES: Mapping[str, str] = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
)
# What would be lost in a description: other members than those that are named, other items, conditions.
_BEYOND = frozenset(
    (
        "contains",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedProperties",
    )
)
_decoder = msgspec.json.Decoder(Schema)
_LOCAL = ("#/$defs/", "#/definitions/")


_CLOSED = msgspec.Raw(b"false")


class _Inexpressible(Exception):
    """Structured outputs have no words for this schema."""


def closed_schema_of(schema: msgspec.Raw, param: str) -> msgspec.Raw | None:
    """The schema in the words of structured outputs, as it is where it is in them; None when they cannot say it.

    Raises GatewayError (INVALID_REQUEST) for what is no object.
    """
    given = read(_decoder, schema, param)
    try:
        found = _closed(given, 0)
        if _refers_to_itself(given):
            return None
        return schema if found == given else msgspec.Raw(msgspec.json.encode(found))
    except (_Inexpressible, RecursionError):
        return None


def strict_parameters_of(schema: Mapping[str, msgspec.Raw]) -> msgspec.Raw | None:
    """The same of the parameters of a strict function, which takes nothing but what it names."""
    return closed_schema_of(msgspec.Raw(msgspec.json.encode({"additionalProperties": _CLOSED, **schema})), "tools")


def _closed(schema: object, depth: int) -> Schema:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH or _BEYOND & schema.keys():
        raise _Inexpressible
    found: Schema = {}
    limits: Schema = {}
    for name, value in schema.items():
        if name in _MAPS:
            found[name] = {each: _closed(inner, depth + 1) for each, inner in _typed(value, dict).items()}
        elif name in _CHOICES:
            found[_CHOICES[name]] = [_closed(inner, depth + 1) for inner in _typed(value, list)]
        elif name == "items":
            found[name] = _closed(value, depth + 1)
        elif _is_kept(name, value):
            found[name] = value
        elif name != "additionalProperties":
            limits[name] = value
    if _is_object(schema):
        # An object that may hold anything would have to be empty.
        others = schema.get("additionalProperties", None if schema.get("properties") else True)
        if others not in (None, False):
            raise _Inexpressible
        found["additionalProperties"] = False
    if limits:
        said = ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in limits.items())
        before = found.get("description")
        found["description"] = f"{before} ({said})" if isinstance(before, str) and before else f"({said})"
    return found


def _typed(value: object, kind: type[_Kind]) -> _Kind:
    if not isinstance(value, kind):
        raise _Inexpressible
    return value


def _is_kept(name: str, value: object) -> bool:
    match name:
        case "format":
            return isinstance(value, str) and value in _FORMATS
        case "minItems":
            return value in (0, 1)
        case "$ref" if not (isinstance(value, str) and value.startswith(_LOCAL)):
            raise _Inexpressible
    return name in _KEPT


def _is_object(schema: Schema) -> bool:
    types = schema.get("type")
    return types == "object" or (isinstance(types, list) and "object" in types) or "properties" in schema


def _refers_to_itself(schema: Schema) -> bool:
    """Whether some definition leads back to itself."""
    definitions = {
        f"#/{where}/{name}": _references_in(inner)
        for where in ("$defs", "definitions")
        if isinstance(schema.get(where), dict)
        for name, inner in schema[where].items()
    }
    # Take away what leads nowhere, until nothing changes: what remains goes in circles.
    while ends := [name for name, leads_to in definitions.items() if not leads_to & definitions.keys()]:
        for name in ends:
            del definitions[name]
    return bool(definitions)


def _references_in(value: object) -> set[str]:
    if isinstance(value, list):
        return {name for inner in value for name in _references_in(inner)}
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
    return own | {name for inner in value.values() for name in _references_in(inner)}
