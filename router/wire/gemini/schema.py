"""JSON schemas as Gemini takes them.

Its own form is a subset of OpenAPI's: no references, no lists of types, no constants, and few keywords. What it can
say is said in it, which every model and every version of the API understands. A schema that it cannot say (one that
refers to itself, a map with any keys, a value of any type) goes as JSON schema, which newer models understand as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.wire.members import invalid

# Deeper ones Gemini refuses long before; the recursion must end somewhere.
_MAX_DEPTH = 64
# Resolving references can double a schema at each level; beyond this it stays as it is.
_MAX_NODES = 2_000

Schema = dict[str, Any]

_COMMON = ("title", "description")
_BY_TYPE: Mapping[str, Sequence[str]] = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "boolean": (),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
# Others are refused by some versions of the API, and change nothing where they are not.
_FORMATS: Mapping[str, Sequence[str]] = {
    "string": ("date-time", "enum"),
    "number": ("float", "double"),
    "integer": ("int32", "int64"),
}
# What a schema that names no type is about.
_SIGNS = (("object", "properties"), ("array", "items"), ("string", "enum"), ("string", "const"))
# With these beside it, a choice between schemas says more than Gemini's form can.
_SHAPE = frozenset(("properties", "items", "enum", "allOf"))
# What only JSON schema can say.
_BEYOND = frozenset(("prefixItems", "patternProperties", "if", "dependentSchemas", "propertyNames"))
_NULL = "null"

# Members of a JSON schema that hold schemas: by name, one, or several.
_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_SINGLE = ("items", "additionalProperties", "not", "contains")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


class _Inexpressible(Exception):
    """Gemini's form has no words for this schema."""


def openapi_of(schema: Schema, *, ordered: bool = False) -> Schema | None:
    """A schema in Gemini's own form; None when that cannot say it.

    ordered: write down the order of the members, in which some models would else answer by the alphabet.
    """
    try:
        return _Translation(schema, ordered=ordered).of(schema, (), 0)
    except (_Inexpressible, RecursionError):
        return None


def json_schema_of(schema: Schema, param: str) -> Schema:
    """The same as JSON schema, less the two things that Gemini refuses or overlooks there.

    Those are members beside a reference, and constants. Raises GatewayError (INVALID_REQUEST) for a bottomless one.
    """
    plain = _plain(schema, param, 0)
    assert isinstance(plain, dict)
    return plain


class _Translation:
    """One schema on its way; `of` is called for each schema within it."""

    def __init__(self, root: Schema, *, ordered: bool) -> None:
        self._root = root
        self._ordered = ordered
        self._nodes = 0

    def of(self, schema: object, seen: tuple[str, ...], depth: int) -> Schema:
        """seen: the references that led here."""
        self._nodes += 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._nodes > _MAX_NODES or _BEYOND & schema.keys():
            raise _Inexpressible
        schema, seen = self._resolved(schema, seen, depth)
        branches = schema.get("anyOf", schema.get("oneOf"))
        if branches is not None:
            return self._choice(schema, branches, seen, depth)
        types, nullable = _types_of(schema)
        if len(types) > 1:
            several = [{**schema, "type": kind} for kind in types]
            return _either([self.of(each, seen, depth + 1) for each in several], schema, nullable)
        found = self._typed(schema, types[0], seen, depth)
        return {**found, "nullable": True} if nullable else found

    def _resolved(self, schema: Schema, seen: tuple[str, ...], depth: int) -> tuple[Schema, tuple[str, ...]]:
        """The schema with what it refers to, and what it demands besides, put in their places."""
        if depth > _MAX_DEPTH:
            raise _Inexpressible
        while "$ref" in schema:
            name = schema["$ref"]
            if name in seen or not isinstance(name, str):
                raise _Inexpressible
            seen = (*seen, name)
            schema = _merged(_without(schema, "$ref"), self._at(name))
        parts = schema.get("allOf", [])
        schema = _without(schema, "allOf")
        for part in parts if isinstance(parts, list) else [None]:
            if not isinstance(part, dict):
                raise _Inexpressible
            part, seen = self._resolved(part, seen, depth + 1)
            schema = _merged(schema, part)
        return schema, seen

    def _at(self, name: str) -> object:
        """What a reference within the schema points to."""
        if not name.startswith("#"):
            raise _Inexpressible
        found: object = self._root
        for step in name[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise _Inexpressible
            found = found[key]
        return found

    def _choice(self, schema: Schema, branches: object, seen: tuple[str, ...], depth: int) -> Schema:
        if not isinstance(branches, list) or not branches or _SHAPE & schema.keys():
            raise _Inexpressible
        some = [branch for branch in branches if not (isinstance(branch, dict) and branch.get("type") == _NULL)]
        nullable = len(some) < len(branches) or schema.get("nullable") is True
        return _either([self.of(branch, seen, depth + 1) for branch in some], schema, nullable)

    def _typed(self, schema: Schema, kind: str, seen: tuple[str, ...], depth: int) -> Schema:
        found: Schema = {"type": kind.upper()}
        found |= {name: schema[name] for name in (*_COMMON, *_BY_TYPE[kind]) if schema.get(name) is not None}
        if schema.get("format") in _FORMATS.get(kind, ()):
            found["format"] = schema["format"]
        values = _values_of(schema)
        if values is not None:
            if kind != "string" or not all(isinstance(value, str) and value for value in values):
                raise _Inexpressible
            found["enum"] = values
        if kind == "array":
            found["items"] = self.of(schema.get("items"), seen, depth + 1)
        if kind == "object":
            found |= self._members(schema, seen, depth)
        return found

    def _members(self, schema: Schema, seen: tuple[str, ...], depth: int) -> Schema:
        properties = schema.get("properties")
        # An object that may hold anything is refused in Gemini's form.
        if not isinstance(properties, dict) or not properties or isinstance(schema.get("additionalProperties"), dict):
            raise _Inexpressible
        found: Schema = {"properties": {name: self.of(each, seen, depth + 1) for name, each in properties.items()}}
        required = schema.get("required")
        if isinstance(required, list):
            # A name that no member has is refused.
            found["required"] = [name for name in required if isinstance(name, str) and name in properties]
        order = schema.get("propertyOrdering", schema.get("property_ordering"))
        if order is not None or self._ordered:
            found["propertyOrdering"] = order or list(properties)
        return found


def _types_of(schema: Schema) -> tuple[list[str], bool]:
    """Which types a value may have, at least one, and whether null is one more."""
    given = schema.get("type")
    several = given if isinstance(given, list) else [given]
    nullable = _NULL in several or schema.get("nullable") is True
    types = [str(kind).lower() for kind in several if kind != _NULL and kind is not None]
    if not types:
        types = [kind for kind, sign in _SIGNS if sign in schema][:1]
    if not types or any(kind not in _BY_TYPE for kind in types):
        raise _Inexpressible
    values = schema.get("enum")
    return types, nullable or (isinstance(values, list) and None in values)


def _values_of(schema: Schema) -> list[Any] | None:
    """The only values allowed, without null; None when any is."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return [value for value in values if value is not None] if isinstance(values, list) else None


def _either(branches: list[Schema], schema: Schema, nullable: bool) -> Schema:
    """A choice between schemas. Beside it nothing else may stand, so what is said of it is said of each branch."""
    said = {name: schema[name] for name in _COMMON if schema.get(name) is not None}
    if not branches:
        raise _Inexpressible
    branches = [inner for branch in branches for inner in branch.get("anyOf", [branch])]
    branches = [{**said, **branch, **({"nullable": True} if nullable else {})} for branch in branches]
    if len(branches) == 1:
        # What stands at the place where it is used says more than the definition.
        return {**branches[0], **said}
    return {"anyOf": branches}


def _without(schema: Schema, name: str) -> Schema:
    return {each: value for each, value in schema.items() if each != name}


def _merged(schema: Schema, other: object) -> Schema:
    """One schema that demands what both do."""
    if not isinstance(other, dict):
        raise _Inexpressible
    both = {**other, **schema}
    for name in other.keys() & schema.keys():
        mine, theirs = schema[name], other[name]
        if name == "properties" and isinstance(mine, dict) and isinstance(theirs, dict):
            both[name] = {**theirs, **mine}
        elif name == "required" and isinstance(mine, list) and isinstance(theirs, list):
            both[name] = [*theirs, *(each for each in mine if each not in theirs)]
        elif name not in ("title", "description", "default") and mine != theirs:
            raise _Inexpressible
    return both


def _plain(schema: object, param: str, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise invalid(f"Invalid {param}: it is nested too deeply.", param)
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = {name: value for name, value in schema.items() if name.startswith("$") or name == "definitions"}
    found: Schema = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            found[name] = {each: _plain(inner, param, depth + 1) for each, inner in value.items()}
        elif name in _SINGLE:
            found[name] = _plain(value, param, depth + 1)
        elif name in _LISTS and isinstance(value, list):
            found[name] = [_plain(inner, param, depth + 1) for inner in value]
        elif name == "const":
            found["enum"] = [value]
        else:
            found[name] = value
    return found
