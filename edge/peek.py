"""What the edge reads of a body: listed members only. The rest stays opaque and reaches the provider as it came."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

# Names longer than this are nobody's model; it bounds what travels in every frame and label.
MAX_NAME_CHARS = 256
MAX_TAGS = 64

# No picture costs more input than this with any provider in the price table; gpt-4o-mini's 8 high-detail tiles come
# closest (2,833 + 8 x 5,667, OpenAI's documentation of image costs).
IMAGE_TOKENS_BOUND = 50_000
# Cohere charges a search for every hundred documents, and takes a document of more than 500 tokens, the query's among
# them, for several (its documentation of prices).
DOCUMENTS_A_SEARCH = 100
CHUNK_BYTES = 500
_IMAGE_URL = re.compile(rb'"image_url"\s*:')
_INLINE_IMAGE = "data:image/"
# What lies elsewhere may be anything, a film or a book, unless its address ends like a picture's.
_PICTURE_ELSEWHERE = re.compile(r"https?://[^?#]+\.(?:png|jpe?g|webp|gif|bmp|heic|heif|avif)(?:[?#].*)?", re.DOTALL)
_FILMS = "youtu"
# A letter of a member's name may be written as an escape; no name that is looked for has anything else in it.
_ESCAPED = re.compile(rb"\\u00([46][1-9a-fA-F]|[57][0-9aA]|5[fF]|3[0-9])")


class _Metadata(msgspec.Struct):
    tags: list[str] | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    user: str | None = None
    metadata: _Metadata | None = None
    tags: list[str] | None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    """One that callers carry out themselves has nothing else; providers know their own by other members, too."""

    type: str | None = None
    function: msgspec.Raw = msgspec.Raw()
    custom: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    description: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()
    input_schema: msgspec.Raw = msgspec.Raw()
    strict: msgspec.Raw = msgspec.Raw()
    cache_control: msgspec.Raw = msgspec.Raw()


class _ImageUrl(msgspec.Struct):
    url: str = ""
    format: str | None = None


class _Part(msgspec.Struct):
    image_url: _ImageUrl | str | None = None


class _Message(msgspec.Struct):
    content: list[_Part] | str | None = None


class _ChatBody(_Body):
    messages: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    # What the provider looks up, or keeps.
    web_search_options: object = None
    search_parameters: object = None
    mcp_servers: object = None
    container: object = None
    cached_content: object = None
    cachedContent: object = None
    google: object = None
    stream: bool | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    n: int | None = None


class _EmbeddingsBody(_Body):
    input: msgspec.Raw = msgspec.Raw()


class _RerankBody(_Body):
    query: msgspec.Raw = msgspec.Raw()
    documents: list[msgspec.Raw] | None = None


class Peek(msgspec.Struct, frozen=True, gc=False):
    """What admission and routing need to know of a call.

    input_tokens_bound: no tokenizer makes more of this body. output_tokens_limit: the caller's, per choice; 0: none.
    requests_bound: how often the fixed price of the call is charged at most; 0: once. open_ended: the provider may read
    or do what is not in this body.
    """

    model: str
    stream: bool
    input_tokens_bound: int
    output_tokens_limit: int
    choices: int
    end_user_id: str
    tags: tuple[str, ...]
    requests_bound: int = 0
    open_ended: bool = False


# Tools that callers carry out themselves; any other the provider does.
_CALLERS_TOOLS = frozenset((None, "function", "custom"))
_PICTURE = b'"image_url"'
# Members of messages that stand for more than their bytes: pictures, and files and media elsewhere. No page of a file
# costs as little as its bytes. One expression for all: a body is passed through once.
_MEDIA = re.compile(rb'"(?:file_(?:id|url|data)|(?:image|video)_url)"')

_decoder = msgspec.json.Decoder(_ChatBody)
_tools_decoder = msgspec.json.Decoder(list[_Tool])
_messages_decoder = msgspec.json.Decoder(list[_Message])
_embeddings_decoder = msgspec.json.Decoder(_EmbeddingsBody)
_rerank_decoder = msgspec.json.Decoder(_RerankBody)
_AnyBody = TypeVar("_AnyBody", bound=_Body)


def peek_chat(body: bytes) -> Peek:
    """Read a Chat Completions body. GatewayError (INVALID_REQUEST) says what is wrong with it."""
    chat = _decoded(_decoder, body)
    model = _model_of(chat)
    if not _is_given(chat.messages):
        raise _invalid("/chat/completions: Missing required parameter: 'messages'.", "messages")
    if bytes(memoryview(chat.messages)[:1]) != b"[":
        raise _invalid("The member 'messages' must be a list.", "messages")
    limit = chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens
    if limit is not None and not 1 <= limit <= 1 << 31:
        raise _invalid("The limit on output tokens must be between 1 and 2147483648.", "max_tokens")
    choices = 1 if chat.n is None else chat.n
    if not 1 <= choices <= 128:
        raise _invalid("The member 'n' must be between 1 and 128.", "n")
    tags = _tags_of(chat)
    plain = _with_plain_names(bytes(chat.messages))
    media = set(_MEDIA.findall(plain))
    inline_bytes, elsewhere = _pictures_of(chat.messages) if _PICTURE in media else (0, False)
    return Peek(
        model=model,
        stream=bool(chat.stream),
        input_tokens_bound=len(body) + (_pictures_bound(plain) if _PICTURE in media else 0) - inline_bytes,
        output_tokens_limit=int(limit or 0),
        choices=choices,
        end_user_id=chat.user or "",
        tags=tags,
        open_ended=elsewhere or not media <= {_PICTURE} or _looks_elsewhere(chat),
    )


def peek_embeddings(body: bytes) -> Peek:
    """Read an embeddings body. GatewayError (INVALID_REQUEST) says what is wrong with it."""
    asked = _decoded(_embeddings_decoder, body)
    if not _is_given(asked.input):
        raise _invalid("/embeddings: Missing required parameter: 'input'.", "input")
    return _peek_of_reading(asked, _tokens_bound(body))


def peek_rerank(body: bytes) -> Peek:
    """Read a rerank body. GatewayError (INVALID_REQUEST) says what is wrong with it."""
    asked = _decoded(_rerank_decoder, body)
    query_bytes = len(memoryview(asked.query))
    if not _is_given(asked.query):
        raise _invalid("/rerank: Missing required parameter: 'query'.", "query")
    if asked.documents is None:
        raise _invalid("/rerank: Missing required parameter: 'documents'.", "documents")
    documents = len(asked.documents)
    chunks = documents + len(body) // CHUNK_BYTES
    # Every document is read together with the query.
    bound = _tokens_bound(body) + query_bytes * documents
    return _peek_of_reading(asked, bound, requests_bound=-(-chunks // DOCUMENTS_A_SEARCH))


def _peek_of_reading(asked: _Body, bound: int, requests_bound: int = 0) -> Peek:
    """Of an operation that reads, and writes nothing that is paid for."""
    return Peek(
        model=_model_of(asked),
        stream=False,
        input_tokens_bound=bound,
        output_tokens_limit=0,
        choices=1,
        end_user_id=asked.user or "",
        tags=_tags_of(asked),
        requests_bound=requests_bound,
    )


def _decoded(decoder: msgspec.json.Decoder[_AnyBody], body: bytes) -> _AnyBody:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(f"The request body is not valid: {error}.", _param_of(str(error))) from None
    except NOT_DECODED as error:
        raise _invalid(f"Invalid JSON payload: {error}.", "request_body") from None


def _model_of(asked: _Body) -> str:
    if not asked.model:
        raise _invalid("You must provide a model: the member 'model' is missing or empty.", "model")
    if len(asked.model) > MAX_NAME_CHARS:
        raise _invalid(f"The member 'model' is longer than {MAX_NAME_CHARS} characters.", "model")
    return asked.model


def _tags_of(asked: _Body) -> tuple[str, ...]:
    """The tags, with what else names somebody: `user` is checked with them."""
    tags = tuple(asked.tags or (asked.metadata.tags if asked.metadata else None) or ())
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_NAME_CHARS for tag in tags):
        raise _invalid(f"At most {MAX_TAGS} tags of at most {MAX_NAME_CHARS} characters.", "tags")
    if asked.user is not None and len(asked.user) > MAX_NAME_CHARS:
        raise _invalid(f"The member 'user' is longer than {MAX_NAME_CHARS} characters.", "user")
    return tags


def _is_given(member: msgspec.Raw) -> bool:
    return bytes(memoryview(member)[:4]) not in (b"", b"null")


def _tokens_bound(body: bytes) -> int:
    """More tokens than any tokenizer makes of a body: every token is at least a byte, a picture a fixed bound."""
    return len(body) + _pictures_bound(_with_plain_names(body))


def _pictures_bound(plain: bytes) -> int:
    """What the pictures may cost of JSON that has names without escapes."""
    return len(_IMAGE_URL.findall(plain)) * IMAGE_TOKENS_BOUND


def _with_plain_names(body: bytes) -> bytes:
    """JSON with letters in plain that are written as escapes: to look for names in, not to be read."""
    if b"\\u00" not in body:
        return body
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), body)


def _pictures_of(messages: msgspec.Raw) -> tuple[int, bool]:
    """How many bytes of messages are pictures, which no tokenizer sees; and whether there may be something else than a
    picture where one belongs."""
    try:
        parts = [
            part.image_url
            for message in _messages_decoder.decode(messages)
            if isinstance(message.content, list)
            for part in message.content
            if part.image_url is not None
        ]
    except NOT_DECODED:
        return 0, True  # the provider says what is wrong with it, or knows something that we do not
    inline_bytes, elsewhere = 0, False
    for part in parts:
        url, kind = (part, None) if isinstance(part, str) else (part.url, part.format)
        if kind is not None and not kind.startswith("image/"):
            elsewhere = True
        elif url.startswith(_INLINE_IMAGE):
            inline_bytes += len(url)
        else:
            url = url.lower()
            elsewhere = elsewhere or _FILMS in url or not _PICTURE_ELSEWHERE.fullmatch(url)
    return inline_bytes, elsewhere


def _looks_elsewhere(chat: _ChatBody) -> bool:
    """Whether the provider looks something up, or carries tools of its own out, or reads what it keeps."""
    if not (
        chat.web_search_options is chat.search_parameters is chat.mcp_servers is chat.container is None
        and chat.cached_content is chat.cachedContent is None
    ):
        return True
    # Google's own words have several spellings.
    if isinstance(chat.google, dict) and any(name.startswith("cached") for name in chat.google):
        return True
    if not _is_given(chat.tools):
        return False
    try:
        return any(tool.type not in _CALLERS_TOOLS for tool in _tools_decoder.decode(chat.tools))
    except NOT_DECODED:
        return True  # the provider says what is wrong with it, or knows something that we do not


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def _param_of(message: str) -> str:
    """msgspec ends its messages with ``- at `$.path` ``; the path is the caller's own."""
    match = re.search(r"at `\$\.?([^`]*)`", message)
    return match.group(1) if match else "request_body"
