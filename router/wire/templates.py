"""Conversations as one text, for models that are asked with a finished prompt: what each family was trained to read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from router.wire.asked import Message, text_of
from router.wire.members import invalid


class Template(msgspec.Struct, frozen=True):
    """How a conversation becomes one text: what goes around the words of each side, and what calls for the answer.

    start: what tokenizers put first; for hosts that leave it to the caller.
    """

    start: str = ""
    system: tuple[str, str] = ("", "\n")
    user: tuple[str, str] = ("", "\n")
    assistant: tuple[str, str] = ("", "\n")
    answer: str = ""


LLAMA_3 = Template(
    "<|begin_of_text|>",
    ("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    ("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
)
LLAMA_2 = Template("<s>", ("[INST] <<SYS>>\n", "\n<</SYS>>\n [/INST]\n"), ("[INST] ", " [/INST]\n"), ("", "</s>"))
MISTRAL = Template("<s>", ("[INST] ", " [/INST]\n"), ("[INST] ", " [/INST]\n"), ("", "</s>"))
HUMAN = Template("", ("", ""), ("\n\nHuman: ", ""), ("\n\nAssistant: ", ""), "\n\nAssistant:")
BOT = Template("", ("", "\n"), ("User: ", "\n"), ("Bot: ", "\n"), "Bot:")
DEEPSEEK = Template(
    "<｜begin▁of▁sentence｜>",
    ("", ""),
    ("<｜User｜>", ""),
    ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    "<｜Assistant｜><think>\n",
)
CHATML = Template(
    "",
    ("<|im_start|>system\n", "<|im_end|>\n"),
    ("<|im_start|>user\n", "<|im_end|>\n"),
    ("<|im_start|>assistant\n", "<|im_end|>\n"),
    "<|im_start|>assistant\n",
)
# It knows no system prompt: that is said by the user.
GEMMA = Template(
    "<bos>",
    ("<start_of_turn>user\n", "<end_of_turn>\n"),
    ("<start_of_turn>user\n", "<end_of_turn>\n"),
    ("<start_of_turn>model\n", "<end_of_turn>\n"),
    "<start_of_turn>model\n",
)
ZEPHYR = Template(
    "", ("<|system|>\n", "</s>\n"), ("<|user|>\n", "</s>\n"), ("<|assistant|>\n", "</s>\n"), "<|assistant|>\n"
)
PLAIN = Template("", ("", "\n\n"), ("User: ", "\n"), ("Assistant: ", "\n"), "Assistant:")

# By what a model's name holds, in lower case; the first that fits.
_BY_NAME: Sequence[tuple[re.Pattern[str], Template]] = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"llama-?2", LLAMA_2),
        (r"deepseek-?r1(?!.*(llama|qwen))", DEEPSEEK),
        (r"llama", LLAMA_3),
        (r"mistral|mixtral", MISTRAL),
        (r"qwen|chatml|hermes|dolphin", CHATML),
        (r"gemma", GEMMA),
        (r"zephyr", ZEPHYR),
    )
)


def template_of(model: str) -> Template:
    """That of a model, by its name; a plain one, which most models can go on with, for one that is not known."""
    name = model.lower()
    return next((template for pattern, template in _BY_NAME if pattern.search(name)), PLAIN)


def prompt_of(template: Template, texts: Sequence[tuple[str, str]]) -> str:
    """The text of a conversation, without what tokenizers put first. texts: roles and what they say."""
    around = {"user": template.user, "assistant": template.assistant}
    written = []
    for role, text in texts:
        before, after = around.get(role, template.system)
        written.append(before + text + after)
    return "".join(written) + template.answer


def texts_of(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Roles and what they say: nothing but words can be said in a text. Raises GatewayError (INVALID_REQUEST)."""
    return [(message.role, _text_of(message, f"messages[{at}]")) for at, message in enumerate(messages)]


def system_apart(texts: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """The system prompt, and what the two sides say, of the texts of a conversation."""
    system = "\n\n".join(text for role, text in texts if role in ("system", "developer"))
    return system, [(role, text) for role, text in texts if role in ("user", "assistant")]


def _text_of(message: Message, param: str) -> str:
    if message.role not in ("system", "developer", "user", "assistant") or message.tool_calls:
        raise invalid(f"Invalid {param}: this model knows no tools.", param)
    if not isinstance(message.content, list):
        return message.content or message.refusal or ""
    texts = [text_of(part, f"{param}.content[{at}]") for at, part in enumerate(message.content)]
    if any(text is None for text in texts):
        raise invalid(f"Invalid {param}.content: this model takes text only.", f"{param}.content")
    return "".join(text or "" for text in texts)
