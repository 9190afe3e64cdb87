"""What callers write: messages, their parts, tools and calls of them, for the wires that translate.

Extensions beyond OpenAI's members: `thinking_blocks`, `cache_control` and `citations`, in Anthropic's form;
`reasoning_content`; `video_url`, LiteLLM's part; the Responses API's words for parts (`input_text`, `input_image`,
`input_file`).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Literal, Protocol, TypeVar

import msgspec

from router.wire.members import Members, invalid, read
from services.errors import GatewayError


class _HasName(Protocol):
    name: str


_Named = TypeVar("_Named", bound=_HasName)


class CacheControl(msgspec.Struct, omit_defaults=True):
    """A mark that the prompt is to be cached up to here."""

    type: str
    ttl: str | None = None


class Citations(msgspec.Struct):
    """Whether the answer shall cite a document."""

    enabled: bool


class _ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None
    format: str | None = None


class _Audio(msgspec.Struct):
    data: str
    format: str


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    format: str | None = None


class Part(msgspec.Struct):
    """A part of a message. image_url, video_url, input_audio, file: read by `medium_of`; thinking, signature, data: of
    thinking blocks, which some callers leave in the content, and `messages_of` takes out of it."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _ImageUrl | str | None = None
    video_url: _ImageUrl | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    cache_control: CacheControl | None = None
    citations: Citations | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class ThinkingBlock(msgspec.Struct, tag="thinking"):
    """The model's thinking of an earlier turn, with the provider's signature."""

    thinking: str = ""
    signature: str | None = None


class RedactedThinkingBlock(msgspec.Struct, tag="redacted_thinking"):
    """The same, readable to the provider only."""

    data: str


class CalledFunction(msgspec.Struct):
    """arguments: JSON in a text, as the model wrote it."""

    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A call in an assistant's message.

    provider_specific_fields, extra_content: what a provider gave with the call and wants back; read by its own wire.
    """

    id: str
    function: CalledFunction
    cache_control: CacheControl | None = None
    provider_specific_fields: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    extra_content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


Content = str | list[Part] | None


class Message(msgspec.Struct):
    """A message of the conversation. name: of the tool, where role is `tool` and the caller gives it.

    images: pictures that an assistant answered with; provider_specific_fields, extra_content: as those of a ToolCall;
    read by the wires that have them.
    """

    role: str
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock | RedactedThinkingBlock] | None = None
    cache_control: CacheControl | None = None
    images: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    provider_specific_fields: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    extra_content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Function(msgspec.Struct):
    """parameters: a JSON schema, member by member."""

    name: str
    description: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _GivenTool(msgspec.Struct):
    type: str = "function"
    function: Function | None = None
    cache_control: CacheControl | None = None


class _FunctionName(msgspec.Struct):
    name: str


class _AllowedTool(msgspec.Struct):
    function: _FunctionName


class _AllowedTools(msgspec.Struct):
    """A choice among some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[_AllowedTool]


class _ObjectChoice(msgspec.Struct):
    type: str
    function: _FunctionName | None = None
    allowed_tools: _AllowedTools | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """What the model may call. name: the one function that it must; empty unless mode is `function`."""

    mode: Literal["auto", "required", "none", "function"]
    name: str = ""


class Medium(msgspec.Struct):
    """A picture, document or sound: either its data in base64, or a URL.

    kind: what the part says it is. media_type: in lower case; empty when nobody says. param: where it stands, for
    errors.
    """

    kind: Literal["image", "file", "audio"]
    media_type: str
    param: str
    data: str = ""
    url: str = ""
    filename: str | None = None

    def decoded(self) -> bytes:
        """The data as bytes. Raises GatewayError (INVALID_REQUEST)."""
        try:
            return b64decode(self.data, validate=True)
        except (binascii.Error, ValueError):
            raise invalid(f"Invalid {self.param}: it is not base64.", self.param) from None


_messages_decoder = msgspec.json.Decoder(list[Message])
_tools_decoder = msgspec.json.Decoder(list[_GivenTool])
_choice_decoder = msgspec.json.Decoder(_ObjectChoice | str)
_arguments_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,", re.IGNORECASE)
_PDF = "application/pdf"
# What browsers and callers call it, and providers do not.
_JPG, _JPEG = "image/jpg", "image/jpeg"


def messages_of(members: Members) -> list[Message]:
    """`messages`. Raises GatewayError (INVALID_REQUEST), as all of these do."""
    messages = members.take("messages", _messages_decoder) or []
    for message in messages:
        if message.role == "assistant" and isinstance(message.content, list):
            _take_thinking(message, message.content)
    return messages


def tools_of(members: Members, provider: str) -> list[Function]:
    """`tools`, for a provider that takes functions only; a mark on the tool is moved to its function."""
    functions = []
    given_tools = members.take("tools", _tools_decoder) or []
    for at, given in enumerate(given_tools):
        function = given.function
        if given.type != "function" or function is None:
            raise invalid(f"Invalid tools[{at}]: only functions can be given to {provider}'s models.", f"tools[{at}]")
        function.cache_control = given.cache_control or function.cache_control
        functions.append(function)
    return permitted(functions, members)


def tool_choice_of(members: Members) -> ToolChoice | None:
    """`tool_choice`; None when the caller does not say."""
    given = members.take("tool_choice", _choice_decoder)
    match given:
        case None:
            return None
        case "auto" | "required" | "none":
            return ToolChoice(given)
        case "any":
            # Mistral's word, which many of its callers keep.
            return ToolChoice("required")
        case _ObjectChoice(type="function", function=_FunctionName(name=name)):
            return ToolChoice("function", name)
        case _ObjectChoice(type="allowed_tools", allowed_tools=_AllowedTools(mode=mode)):
            return ToolChoice(mode)
    raise invalid("Invalid tool_choice: it must be auto, required, none or the name of a function.", "tool_choice")


def permitted(functions: list[_Named], members: Members) -> list[_Named]:
    """Those of the functions that the model may call: where `tool_choice`, not yet taken, allows some only, providers
    have no word for it, and the others are not sent."""
    given = members.see("tool_choice", _choice_decoder)
    if not isinstance(given, _ObjectChoice) or given.type != "allowed_tools" or given.allowed_tools is None:
        return functions
    names = {tool.function.name for tool in given.allowed_tools.tools}
    kept = [function for function in functions if function.name in names]
    if len(kept) < len(names):
        raise invalid("Invalid tool_choice: it allows tools that are not given.", "tool_choice")
    return kept


def arguments_in(call: ToolCall, param: str) -> dict[str, msgspec.Raw]:
    """A call's arguments, member by member; empty text is an empty object."""
    arguments = call.function.arguments
    return read(_arguments_decoder, arguments, f"{param}.function.arguments") if arguments.strip() else {}


def thoughts_of(message: Message) -> str:
    """Visible thinking of an earlier turn, for a provider that signs none: what is signed, or hidden, is another's."""
    if not message.thinking_blocks:
        return message.reasoning_content or ""
    unsigned = [block for block in message.thinking_blocks if isinstance(block, ThinkingBlock) and not block.signature]
    return "".join(block.thinking for block in unsigned)


def text_of(part: Part, param: str) -> str | None:
    """The text of a part; None when it is a medium."""
    match part.type:
        case "text" | "input_text" | "output_text":
            return _required(part.text, f"{param}.text")
        case "refusal":
            return _required(part.refusal, f"{param}.refusal")
    return None


def medium_of(part: Part, param: str, provider: str) -> Medium:
    """What a part that is no text holds."""
    match part.type:
        case "image_url" | "input_image":
            return _shown(part.image_url, "image", f"{param}.image_url")
        case "video_url":
            return _shown(part.video_url, "file", f"{param}.video_url")
        case "input_audio":
            audio = part.input_audio
            if audio is None:
                raise invalid(f"{param}.input_audio is missing.", f"{param}.input_audio")
            return Medium("audio", f"audio/{audio.format.lower()}", f"{param}.input_audio", data=audio.data)
        case "file":
            return _file(part.file or _File(), f"{param}.file")
        case "input_file":
            return _file(_File(part.file_data, part.filename, part.file_id, part.file_url), param)
    raise not_sent(part, param, provider)


def _take_thinking(message: Message, parts: list[Part]) -> None:
    """Blocks of thinking that stand among the parts, in Anthropic's form, as `thinking_blocks`, if there are none."""
    blocks = [block for part in parts if (block := _thinking_in(part)) is not None]
    if blocks:
        message.thinking_blocks = message.thinking_blocks or blocks
        message.content = [part for part in parts if part.type not in ("thinking", "redacted_thinking")]


def _thinking_in(part: Part) -> ThinkingBlock | RedactedThinkingBlock | None:
    match part.type:
        case "thinking":
            return ThinkingBlock(part.thinking or "", part.signature)
        case "redacted_thinking":
            return RedactedThinkingBlock(part.data or "")
    return None


def not_sent(part: Part, param: str, provider: str) -> GatewayError:
    """The provider has nothing for a part of this type."""
    message = f"Invalid {param}.type: parts of the type {part.type!r} cannot be sent to {provider}."
    return invalid(message, f"{param}.type")


def _shown(given: _ImageUrl | str | None, kind: Literal["image", "file"], param: str) -> Medium:
    url = given.url if isinstance(given, _ImageUrl) else given
    media_type = given.format if isinstance(given, _ImageUrl) else None
    return _at(_required(url, param), kind, media_type, None, param)


def _file(file: _File, param: str) -> Medium:
    # Some callers put the address of a file where its id belongs.
    url = file.file_url or (file.file_id if file.file_id and "://" in file.file_id else None)
    if url is not None:
        return Medium("file", (file.format or "").lower(), param, url=url, filename=file.filename)
    if file.file_id is not None:
        raise invalid(f"Invalid {param}.file_id: only the data or the URL of a file can be sent.", f"{param}.file_id")
    data = _required(file.file_data, f"{param}.file_data")
    if not data.startswith("data:") and "://" not in data:
        # Bare base64: what OpenAI takes for a PDF.
        return Medium("file", (file.format or _PDF).lower(), f"{param}.file_data", data=data, filename=file.filename)
    return _at(data, "file", file.format, file.filename, f"{param}.file_data")


def _at(url: str, kind: Literal["image", "file"], media_type: str | None, filename: str | None, param: str) -> Medium:
    """What a URL or a data URL holds."""
    found = _DATA_URL.match(url)
    if found is None and url.startswith("data:"):
        raise invalid(f"Invalid {param}: a data URL must be in base64.", param)
    if found is None:
        return Medium(kind, (media_type or "").lower(), param, url=url, filename=filename)
    stated = (media_type or found[1]).lower()
    stated = _JPEG if stated == _JPG else stated
    return Medium(kind, stated, param, data=url[found.end() :], filename=filename)


def _required(value: str | None, param: str) -> str:
    if value is None:
        raise invalid(f"{param} is missing.", param)
    return value
