"""The tool whose call is the answer, where a model cannot be held to a schema otherwise.

A caller's own tool must not have its name: in an answer nothing else tells the two apart.
"""

from __future__ import annotations

# LiteLLM's name for it.
JSON_TOOL = "json_tool_call"
JSON_TOOL_DESCRIPTION = "Give the final answer. Call this once, with the whole answer, instead of writing text."
