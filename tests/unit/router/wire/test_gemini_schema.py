"""JSON schemas in Gemini's own form, and those that it has no words for; by the documentation of its `Schema`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.wire.gemini.schema import json_schema_of, openapi_of
from services.errors import GatewayError

STRING = {"type": "string"}
NODE = {"type": "object", "properties": {"a": STRING}}


def of(member: dict[str, Any], **root: Any) -> dict[str, Any] | None:
    """The schema of a member."""
    found = openapi_of({"type": "object", "properties": {"x": member}, **root})
    return found and found["properties"]["x"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (STRING, {"type": "STRING"}),
        ({"type": "STRING"}, {"type": "STRING"}),
        (
            {"type": "boolean", "title": "T", "description": "D", "default": True},
            {"type": "BOOLEAN", "title": "T", "description": "D"},
        ),
        (
            {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "a", "minimum": 1},
            {"type": "STRING", "minLength": 1, "maxLength": 2, "pattern": "a"},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": "string", "format": "uuid"}, {"type": "STRING"}),
        (
            {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMaximum": 9},
            {"type": "INTEGER", "format": "int32", "minimum": 0},
        ),
        ({"type": "number", "maximum": 1.5}, {"type": "NUMBER", "maximum": 1.5}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": "string", "nullable": True}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        (
            {"type": ["integer", "null", "string"], "description": "D", "minimum": 1},
            {
                "anyOf": [
                    {"type": "INTEGER", "minimum": 1, "description": "D", "nullable": True},
                    {"type": "STRING", "description": "D", "nullable": True},
                ]
            },
        ),
        ({"enum": ["a", "b"]}, {"type": "STRING", "enum": ["a", "b"]}),
        ({"enum": ["a", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
        ({"items": STRING}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        (
            {"type": "array", "items": STRING, "maxItems": 2, "uniqueItems": True},
            {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": 2},
        ),
        (
            {"properties": {"a": STRING}, "required": ["a", "b", 5]},
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]},
        ),
        (
            {**NODE, "property_ordering": ["a"]},
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "propertyOrdering": ["a"]},
        ),
        ({**NODE, "additionalProperties": True}, {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}),
        ({"anyOf": [STRING, {"type": "null"}]}, {"type": "STRING", "nullable": True}),
        (
            {"oneOf": [STRING, NODE], "title": "T"},
            {
                "anyOf": [
                    {"type": "STRING", "title": "T"},
                    {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "title": "T"},
                ]
            },
        ),
        ({"anyOf": [{"type": "string", "title": "own"}], "title": "outer"}, {"type": "STRING", "title": "outer"}),
        ({"allOf": [{"type": "string", "title": "inner"}], "title": "outer"}, {"type": "STRING", "title": "outer"}),
        (
            {"allOf": [{**NODE, "required": ["a"]}, {"properties": {"b": STRING}, "required": ["b", "a"]}]},
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
                "required": ["b", "a"],
            },
        ),
    ],
)
def test_what_gemini_can_say_is_said_in_its_own_form(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert of(given) == expected


def test_references_are_put_in_place_wherever_they_point() -> None:
    expected = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    assert of({"$ref": "#/$defs/N"}, **{"$defs": {"N": NODE}}) == expected
    assert of({"$ref": "#/definitions/a~1b~0"}, definitions={"a/b~": NODE}) == expected
    assert of({"$ref": "#/$defs/M", "description": "D"}, **{"$defs": {"M": {"$ref": "#/$defs/N"}, "N": NODE}}) == {
        **expected,
        "description": "D",
    }
    both = {"allOf": [{"$ref": "#/$defs/N"}, {"$ref": "#/$defs/M"}]}
    assert of(both, **{"$defs": {"N": NODE, "M": {"properties": {"b": STRING}}}}) == {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
    }


def test_the_order_is_written_where_it_is_wanted() -> None:
    assert openapi_of({"properties": {"b": STRING, "a": NODE}}, ordered=True) == {
        "type": "OBJECT",
        "properties": {
            "b": {"type": "STRING"},
            "a": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "propertyOrdering": ["a"]},
        },
        "propertyOrdering": ["b", "a"],
    }


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"type": "null"},
        {"type": "file"},
        {"type": 5},
        {"type": [["string"]]},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "additionalProperties": STRING},
        {**NODE, "additionalProperties": STRING},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "prefixItems": [STRING]},
        {"type": "integer", "enum": [1, 2]},
        {"const": 5},
        {"enum": ["a", ""]},
        {**NODE, "anyOf": [{"required": ["a"]}]},
        {"anyOf": []},
        {"anyOf": [{"type": "null"}]},
        {"anyOf": 5},
        {"allOf": 5},
        {"allOf": [5]},
        {"allOf": [STRING, {"type": "integer"}]},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {"$ref": 5},
        {"$ref": "#/properties/x"},
        {"$ref": "#/type"},
        {"patternProperties": {"a": STRING}},
        True,
        "string",
    ],
)
def test_what_gemini_has_no_words_for_is_left_to_json_schema(member: Any) -> None:
    assert of(member) is None


def test_a_schema_that_grows_without_end_stays_as_it_is() -> None:
    twice = {f"n{at}": {"properties": {key: {"$ref": f"#/$defs/n{at + 1}"} for key in "ab"}} for at in range(40)}
    assert of({"$ref": "#/$defs/n0"}, **{"$defs": {**twice, "n40": STRING}}) is None
    deep: dict[str, Any] = STRING
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    assert of(deep) is None
    for _ in range(100):
        deep = {"allOf": [deep]}
    assert of(deep) is None


def test_json_schema_keeps_all_but_what_gemini_refuses_or_overlooks() -> None:
    schema = {
        "$ref": "#/$defs/N",
        "title": "T",
        "$defs": {"N": {"properties": {"const": {"const": 1}, "$ref": {"$ref": "#/$defs/N", "description": "D"}}}},
        "definitions": {"x": {"anyOf": [{"const": "a"}, True]}},
    }
    assert json_schema_of(schema, "where") == {
        "$ref": "#/$defs/N",
        "$defs": {"N": {"properties": {"const": {"enum": [1]}, "$ref": {"$ref": "#/$defs/N"}}}},
        "definitions": {"x": {"anyOf": [{"enum": ["a"]}, True]}},
    }
    assert json_schema_of({"items": {"const": 1}, "required": ["a"]}, "where") == {
        "items": {"enum": [1]},
        "required": ["a"],
    }


def test_a_bottomless_json_schema_is_refused_where_it_stands() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    with pytest.raises(GatewayError) as caught:
        json_schema_of(deep, "where")
    assert caught.value.param == "where"


NAME = st.sampled_from(["a", "b", "$ref", "const"])
WORDS = st.sampled_from(["string", "object", "array", "integer", "null", "x", "#/$defs/a", "#/properties/b", "", "a"])
SCHEMA = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const", "required"]
            )
            | NAME,
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def is_gemini(schema: Any) -> bool:
    """A schema of Gemini's own: a type that it has or a choice, and what belongs to the type."""
    if "anyOf" in schema:
        return set(schema) == {"anyOf"} and all(is_gemini(each) for each in schema["anyOf"])
    kind = schema["type"]
    if kind == "ARRAY":
        return is_gemini(schema["items"])
    if kind == "OBJECT":
        return bool(schema["properties"]) and all(is_gemini(each) for each in schema["properties"].values())
    return kind in ("STRING", "INTEGER", "NUMBER", "BOOLEAN")


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(["type", "properties", "anyOf", "allOf", "$ref", "$defs"]), SCHEMA, max_size=4))
def test_any_schema_is_gemini_s_or_goes_as_it_is(schema: dict[str, Any]) -> None:
    found = openapi_of(schema)
    json.dumps(json_schema_of(schema, "where"))
    assert found is None or is_gemini(found)


def test_a_choice_within_a_choice_is_one() -> None:
    inner = {"anyOf": [STRING, {"type": "integer"}], "description": "D"}
    assert of({"anyOf": [inner, {"type": "boolean"}, {"type": "null"}]}) == {
        "anyOf": [
            {"type": "STRING", "description": "D", "nullable": True},
            {"type": "INTEGER", "description": "D", "nullable": True},
            {"type": "BOOLEAN", "nullable": True},
        ]
    }
