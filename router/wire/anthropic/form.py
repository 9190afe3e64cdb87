"""What form the answer shall have: `response_format`, in the first of three ways that the model and the schema allow.

output_config.format   a schema, and a model that can be held to it
a tool                 a schema otherwise: its call is the answer (`router.wire.json_tool`)
an instruction         any JSON object, which Anthropic has no word for
"""

from __future__ import annotations

import msgspec

from router.wire.anthropic.models import takes_schemas
from router.wire.anthropic.schema import closed_schema_of
from router.wire.members import RAWS, Members, read
from router.wire.params import response_format_of

_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no words around it, no Markdown fence."

_WHERE = "response_format.json_schema.schema"


class Form(msgspec.Struct):
    """At most one is set. format: of `output_config`; by_tool: the schema of the tool that stands in; instruction: what
    the system prompt says."""

    format: dict[str, object] | None = None
    by_tool: dict[str, msgspec.Raw] | None = None
    instruction: str = ""


def form_of(members: Members, model: str) -> Form:
    """Raises GatewayError (INVALID_REQUEST)."""
    wanted = response_format_of(members)
    if wanted is None:
        return Form()
    if wanted.schema is None:
        return Form(instruction=_JSON_INSTRUCTION)
    closed = closed_schema_of(wanted.schema, _WHERE) if takes_schemas(model) else None
    if closed is None:
        return Form(by_tool=read(RAWS, wanted.schema, _WHERE))
    return Form({"type": "json_schema", "schema": closed})
