"""What form the answer shall have: `response_format`, in the first of three ways that the model and the schema allow.

schema    as structured outputs take it, for a model that can be held to one
by_tool   a schema otherwise: the call of a tool is the answer (`router.wire.json_tool`)
as_json   any JSON object, for which there is no word: an instruction in the system prompt

For Claude at Anthropic and at its hosts, and for all that Bedrock's Converse has.
"""

from __future__ import annotations

import msgspec

from router.wire.anthropic.schema import closed_schema_of
from router.wire.members import RAWS, Members, read
from router.wire.params import response_format_of

_WHERE = "response_format.json_schema.schema"


class Form(msgspec.Struct):
    """At most one of schema, by_tool and as_json is set. name: the caller's, of a schema."""

    schema: msgspec.Raw | None = None
    name: str = ""
    by_tool: dict[str, msgspec.Raw] | None = None
    as_json: bool = False


def form_of(members: Members, *, takes_schemas: bool) -> Form:
    """takes_schemas: the model can be held to one. Raises GatewayError (INVALID_REQUEST)."""
    wanted = response_format_of(members)
    if wanted is None:
        return Form()
    if wanted.schema is None:
        return Form(as_json=True)
    closed = closed_schema_of(wanted.schema, _WHERE) if takes_schemas else None
    if closed is None:
        return Form(by_tool=read(RAWS, wanted.schema, _WHERE))
    return Form(closed, wanted.name)
