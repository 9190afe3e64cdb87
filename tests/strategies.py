"""What callers and providers may write, for the property tests of the wires: sense, nonsense, and what lies between."""

from __future__ import annotations

import json

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
# JSON that stands within values that are generated themselves.
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SMALL_TEXT = st.none() | st.text(max_size=5)
ANY_BYTES = (
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | JSON.map(lambda value: json.dumps(value).encode())
)
# Where a stream is cut, for `tests.streams.cut`.
CUTS = st.lists(st.integers(0, 1500), max_size=6)

MARK = st.just({"type": "ephemeral"})
# One part of a message in the caller's language.
PART = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "image_url", "file", "input_file", "input_audio", "refusal", "guarded_text", "x"]
        )
    },
    optional={
        "text": st.text(max_size=8),
        "refusal": st.text(max_size=3),
        "image_url": st.sampled_from(["data:image/png;base64,AAAA", "data:,", "s3://b/a.gif", "https://x", "http://["])
        | JSON,
        "file": st.dictionaries(st.sampled_from(["file_data", "filename", "file_url"]), st.text(max_size=9)) | JSON,
        "file_data": st.sampled_from(
            [
                "data:;base64,gA==",
                "data:text/plain;base64,gA==",
                "data:text/plain;base64,YQ==",
                "data:image/gif;base64,YQ==",
                "data:video/mp4;base64,YQ==",
            ]
        )
        | JSON,
        "filename": st.text(max_size=8),
        "input_audio": st.just({"data": "AA", "format": "wav"}) | JSON,
        "cache_control": MARK | JSON,
    },
)
CALL = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "a__thought__s", ""]) | st.text(max_size=4),
        "function": st.fixed_dictionaries(
            {"name": st.text(max_size=4), "arguments": st.sampled_from(["{}", "", "x"]) | st.text()}
        ),
    },
    optional={"provider_specific_fields": JSON, "extra_content": JSON},
)
# A message as callers write them; whether its provider takes it depends on the others and on little else.
SENSIBLE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "user"]), "content": st.text(max_size=8)}),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(
                st.sampled_from(
                    [
                        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                        {"type": "text", "text": " "},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    ]
                ),
                max_size=3,
            ),
        }
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none() | st.text(max_size=8)},
        optional={
            "tool_calls": st.lists(
                st.builds(
                    lambda name, arguments: {"id": name, "function": {"name": name, "arguments": arguments}},
                    st.sampled_from("ab"),
                    st.sampled_from(["{}", "", '{"x": 1}']),
                ),
                max_size=2,
            ),
            "reasoning_content": st.text(max_size=8),
            "thinking_blocks": st.just([{"type": "thinking", "thinking": "a", "signature": "s"}]),
        },
    ),
    st.fixed_dictionaries(
        {"role": st.just("tool"), "tool_call_id": st.sampled_from("ab"), "content": st.text(max_size=8)}
    ),
)
MESSAGE = SENSIBLE | st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "x"])},
    optional={
        "content": st.text(max_size=8) | st.lists(PART, max_size=3) | JSON,
        "name": st.text(max_size=3),
        "tool_call_id": st.sampled_from(["a", "b", ""]) | st.text(max_size=8),
        "tool_calls": st.lists(CALL, max_size=2) | JSON,
        "reasoning_content": st.text(max_size=8),
        "thinking_blocks": st.lists(
            st.fixed_dictionaries({"type": st.just("thinking"), "signature": st.text(max_size=2)}), max_size=2
        )
        | JSON,
        "images": st.lists(PART, max_size=2) | JSON,
        "cache_control": MARK,
        "provider_specific_fields": JSON,
        "extra_content": JSON,
    },
)
