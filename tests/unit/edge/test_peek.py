"""The edge's peek: total over any bytes, and a true bound on input."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.peek import IMAGE_TOKENS_BOUND, Peek, peek_chat, peek_embeddings, peek_rerank
from services.errors import GatewayError, Reason

MESSAGES = [{"role": "user", "content": "hi"}]


def body(**members: object) -> bytes:
    return json.dumps({"model": "m", "messages": MESSAGES, **members}).encode()


def test_reads_the_listed_members_and_ignores_the_rest() -> None:
    peek = peek_chat(
        body(
            stream=True, max_tokens=7, n=2, user="u", metadata={"tags": ["a", "b"]}, tools=[{"x": 1}], new_thing=[1, {}]
        )
    )
    assert (peek.model, peek.stream, peek.output_tokens_limit, peek.choices) == ("m", True, 7, 2)
    assert (peek.end_user_id, peek.tags) == ("u", ("a", "b"))


def test_max_completion_tokens_wins_over_max_tokens() -> None:
    assert peek_chat(body(max_tokens=7, max_completion_tokens=9)).output_tokens_limit == 9


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", "request_body"),
        (b"{not json", "request_body"),
        (b"[]", "request_body"),
        (b"\xff\xfe", "request_body"),
        (b"[" * 100_000, "request_body"),
        (b'{"messages": []}', "model"),
        (b'{"model": 5, "messages": []}', "model"),
        (b'{"model": "", "messages": []}', "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": null}', "messages"),
        (b'{"model": "m", "messages": "hi"}', "messages"),
        (b'{"model": "m", "messages": [], "stream": "yes"}', "stream"),
        (b'{"model": "m", "messages": [], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": -1}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": 1e300}', "max_tokens"),
        (b'{"model": "m", "messages": [], "n": 0}', "n"),
        (b'{"model": "m", "messages": [], "n": 129}', "n"),
        (b'{"model": "m", "messages": [], "tags": [1]}', "tags[0]"),
        (b'{"model": "m", "messages": [], "user": "' + b"u" * 300 + b'"}', "user"),
        (b'{"model": "' + b"m" * 300 + b'", "messages": []}', "model"),
    ],
)
def test_says_which_member_is_wrong(raw: bytes, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        peek_chat(raw)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    assert caught.value.param == param


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_gateway_error(raw: bytes) -> None:
    try:
        peek_chat(raw)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "user", "metadata", "tags"]


@given(st.dictionaries(st.sampled_from(MEMBERS), json_values))
def test_no_json_raises_anything_but_a_gateway_error(members: dict[str, object]) -> None:
    try:
        peek = peek_chat(json.dumps(members).encode())
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
    else:
        assert peek.model


def test_text_is_bounded_by_its_bytes() -> None:
    raw = body()
    assert peek_chat(raw).input_tokens_bound == len(raw)


def content(*parts: object, **members: object) -> bytes:
    return body(messages=[{"role": "user", "content": parts}], **members)


def picture(url: str, **members: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, **members}}


INLINE = "data:image/png;base64," + "A" * 1_000_000


def test_an_inline_picture_counts_as_a_picture_not_as_its_bytes() -> None:
    for part in (picture(INLINE), picture(INLINE, detail="low"), {"type": "image_url", "image_url": INLINE}):
        peek = peek_chat(content(part, {"type": "text", "text": "what is it?"}))
        assert IMAGE_TOKENS_BOUND < peek.input_tokens_bound < IMAGE_TOKENS_BOUND + 1_000
        assert not peek.open_ended


def test_a_remote_picture_counts_as_a_picture() -> None:
    raw = content(picture("https://host/p.png"), picture("https://host/a/P.JPEG?width=9#x"))
    peek = peek_chat(raw)
    assert peek.input_tokens_bound == len(raw) + 2 * IMAGE_TOKENS_BOUND
    assert not peek.open_ended


@pytest.mark.parametrize(
    "hidden",
    [
        [{"type": "text", "text": INLINE}],
        [{"type": "text", "text": "hi", "note": {"image_url": INLINE}}],
    ],
)
def test_text_that_looks_like_a_picture_counts_as_text(hidden: list[object]) -> None:
    raw = content(*hidden, picture("https://host/p.png"))
    assert peek_chat(raw).input_tokens_bound >= len(raw)


def test_a_picture_in_a_tool_s_schema_counts_as_text() -> None:
    """The schema of a function goes to the model as it is."""
    schema = {"type": "object", "properties": {"image_url": {"url": INLINE}, "content": [picture(INLINE)]}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    raw = body(tools=tools)
    assert peek_chat(raw).input_tokens_bound >= len(raw)


def test_a_picture_of_which_a_part_of_the_name_is_an_escape_is_one() -> None:
    raw = content(picture("https://host/p.png")).replace(b"image_url", rb"im\u0061ge\u005fur\u006C")
    peek = peek_chat(raw)
    assert peek.input_tokens_bound >= IMAGE_TOKENS_BOUND
    assert not peek.open_ended


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}


@pytest.mark.parametrize(
    "raw",
    [
        body(),
        body(tools=None),
        body(tools=[]),
        body(tools=[TOOL, TOOL]),
        body(tools=[{"name": "f", "description": "d", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]),
        body(tools=[{"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}}]),
        body(tools=[{"function": {"name": "web_search_options", "description": 'say "file_id"'}}]),
        body(metadata={"note": 'see "container" and "file_id"', "file_id": "file-1", "container": "c"}),
        # A function may have arguments of any name.
        body(tools=[{"type": "function", "function": {"name": "f", "parameters": {"required": ["file_id"]}}}]),
        body(tools=[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"container": {}}}}}]),
        body(web_search_options=None, cached_content=None, google={"thinking_config": {}}),
        content({"type": "text", "text": 'an \\"image_url\\": "file_id" "container"'}),
        content({"type": "text", "text": "Zo\u00eb"}),
        content({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ],
)
def test_what_its_own_words_bound_has_an_end(raw: bytes) -> None:
    assert not peek_chat(raw).open_ended


@pytest.mark.parametrize(
    "raw",
    [
        body(web_search_options={}),
        body(search_parameters={"mode": "on"}),
        body(mcp_servers=[]),
        body(container="c"),
        body(cached_content="cachedContents/x"),
        body(google={"cachedContent": "cachedContents/x"}),
        body(google={"cached__content": "cachedContents/x"}),
        # Tools that the provider carries out, however it knows them.
        body(tools=[{"type": "web_search"}]),
        body(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        body(tools=[{"googleSearch": {}}]),
        body(tools=[{"type": "function", "google_search": {}}]),
        body(tools=[TOOL, {**TOOL, "codeExecution": {}}]),
        body(tools=[{"type": "Function"}]),
        body(tools=[5]),
        body(tools={"type": "function"}),
        # Files: a page costs more than its bytes.
        content({"type": "file", "file": {"file_id": "file-1"}}),
        content({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}),
        content({"type": "input_file", "file_url": "https://host/book.pdf"}),
        content({"type": "video_url", "video_url": {"url": "https://host/a.mp4"}}),
        # What stands where a picture belongs.
        content(picture("https://host/film.mp4")),
        content(picture("https://host/film.mp4?as=a.png")),
        content(picture("https://host/film.mp4#a.png")),
        content(picture("https://host/signed/4f1c")),
        content(picture("https://youtu.be/abc")),
        content(picture("https://WWW.YouTube.com/watch.png?v=abc")),
        content(picture("gs://bucket/film.png")),
        content(picture("https://host/p.png", format="video/mp4")),
        content(picture(INLINE, format="application/pdf")),
        content(picture("data:application/pdf;base64,AAAA")),
        content(picture("")),
        content({"type": "image_url", "image_url": "https://host/film.mp4"}),
        content({"type": "image_url", "image_url": 5}),
        content(picture("https://host/p.png"), 5),
    ],
)
def test_what_nothing_in_it_bounds_has_an_open_end(raw: bytes) -> None:
    assert peek_chat(raw).open_ended
    # Nor does it help to write a letter of a name as an escape.
    for name, written in ((b"_", rb"\u005f"), (b"tools", rb"t\u006fols"), (b"container", rb"c\u006Fntainer")):
        assert peek_chat(raw.replace(name, written)).open_ended


@given(st.lists(st.sampled_from([*MESSAGES, {"role": "user", "content": [picture(INLINE)]}, {}, 5, None]), max_size=4))
def test_a_bound_is_never_below_nothing(messages: list[object]) -> None:
    raw = body(messages=messages)
    assert peek_chat(raw).input_tokens_bound >= len(raw) - len(INLINE) * len(messages) > 0 or messages


@pytest.mark.parametrize("member", ["user", "model"])
def test_half_a_character_is_no_text(member: str) -> None:
    """No message can carry it on."""
    with pytest.raises(GatewayError):
        peek_chat(body().replace(b"{", b'{"' + member.encode() + rb'": "\ud800", ', 1).replace(b'"model": "m", ', b""))


def test_embeddings_are_bounded_by_their_bytes_and_have_no_output() -> None:
    raw = json.dumps({"model": "m", "input": ["a", "b"], "user": "u", "tags": ["t"]}).encode()
    peek = peek_embeddings(raw)
    assert (peek.model, peek.stream, peek.end_user_id, peek.tags) == ("m", False, "u", ("t",))
    assert (peek.input_tokens_bound, peek.output_tokens_limit, peek.requests_bound) == (len(raw), 0, 0)


def test_a_rerank_reads_its_query_with_every_document() -> None:
    raw = json.dumps({"model": "m", "query": "long", "documents": ["a", {"text": "b"}]}).encode()
    peek = peek_rerank(raw)
    assert peek.input_tokens_bound == len(raw) + 2 * len('"long"')
    assert peek.requests_bound == 1


def test_a_rerank_is_a_search_for_every_hundred_documents_and_long_ones_count_as_several() -> None:
    def searches(*documents: str) -> int:
        return peek_rerank(json.dumps({"model": "m", "query": "q", "documents": documents}).encode()).requests_bound

    assert searches(*["d"] * 90) == 1
    assert searches(*["d"] * 101) == 2
    assert searches("d" * 100_000) == 3


@pytest.mark.parametrize(
    ("peek", "raw", "param"),
    [
        (peek_embeddings, b'{"model": "m"}', "input"),
        (peek_embeddings, b'{"model": "m", "input": null}', "input"),
        (peek_embeddings, b'{"input": "a"}', "model"),
        (peek_embeddings, b'{"model": "m", "input": "a", "tags": "t"}', "tags"),
        (peek_embeddings, b"[]", "request_body"),
        (peek_rerank, b'{"model": "m", "documents": []}', "query"),
        (peek_rerank, b'{"model": "m", "query": "q"}', "documents"),
        (peek_rerank, b'{"model": "m", "query": "q", "documents": "all"}', "documents"),
        (peek_rerank, b'{"query": "q", "documents": []}', "model"),
    ],
)
def test_what_is_no_call_to_read_says_where(peek: Callable[[bytes], Peek], raw: bytes, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        peek(raw)
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


@given(st.dictionaries(st.sampled_from([*MEMBERS, "input", "query", "documents"]), json_values) | st.binary())
def test_nothing_read_raises_anything_but_a_gateway_error(said: object) -> None:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    for peek in (peek_embeddings, peek_rerank):
        try:
            assert peek(raw).model
        except GatewayError as error:
            assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
