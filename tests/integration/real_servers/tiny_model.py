"""A language model of 0.4 MB in llama.cpp's format (GGUF, version 3): weights by chance, a token for each character of
ASCII. What it says is noise, but it is a real model to the server that loads it, and a prompt's tokens are its
characters.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

# Vector length, feed-forward length, layers, attention heads; the least that llama.cpp's kernels like.
WIDTH, INNER, LAYERS, HEADS = 64, 128, 2, 4
TRAINED_CONTEXT_TOKENS = 8192

_END, _TURN, _END_OF_TURN = "<|endoftext|>", "<|turn|>", "<|end|>"
_CONTROL, _NORMAL = 3, 1
# Each turn by its role; tools are shown before the first, calls as the JSON objects that they are.
CHAT_TEMPLATE = """
{%- if tools %}<|turn|>system
Tools:{% for tool in tools %} {{ tool | tojson }}{% endfor %}
Call one by <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call><|end|>
{% endif %}
{%- for message in messages %}<|turn|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>{% endfor %}<|end|>
{% endfor %}
{%- if add_generation_prompt %}<|turn|>assistant
{% endif %}"""


def write(path: Path) -> None:
    """The same bytes each time."""
    characters = [*map(chr, range(33, 127)), "Ġ", "Ċ"]  # GPT-2's signs for a space and a line feed are the last two
    tokens = [_END, _TURN, _END_OF_TURN, *characters, "th"]
    facts: Mapping[str, object] = {
        "general.architecture": "llama",
        "general.name": "tiny-random",
        "llama.context_length": TRAINED_CONTEXT_TOKENS,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL] * 3 + [_NORMAL] * (len(tokens) - 3),
        "tokenizer.ggml.merges": ["t h"],  # a vocabulary of this kind has at least one
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    tensors = dict(_tensors(len(tokens)))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(facts))
    for name, value in facts.items():
        head += _text(name) + _value(value)
    offset = 0
    for name, (shape, values) in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += len(_padded(values.tobytes()))
    path.write_bytes(_padded(head) + b"".join(_padded(values.tobytes()) for _, values in tensors.values()))


def _tensors(vocabulary: int) -> Iterator[tuple[str, tuple[tuple[int, ...], array[float]]]]:
    """By name: its shape, the fastest dimension first, and its numbers."""
    chance = random.Random(0)

    def matrix(*shape: int) -> tuple[tuple[int, ...], array[float]]:
        return shape, array("f", (chance.gauss(0, 0.08) for _ in range(shape[0] * shape[1])))

    ones = (WIDTH,), array("f", [1.0] * WIDTH)
    yield "token_embd.weight", matrix(WIDTH, vocabulary)
    yield "output_norm.weight", ones
    yield "output.weight", matrix(WIDTH, vocabulary)
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight", ones
        yield f"blk.{layer}.ffn_norm.weight", ones
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{part}.weight", matrix(WIDTH, WIDTH)
        yield f"blk.{layer}.ffn_gate.weight", matrix(WIDTH, INNER)
        yield f"blk.{layer}.ffn_up.weight", matrix(WIDTH, INNER)
        yield f"blk.{layer}.ffn_down.weight", matrix(INNER, WIDTH)


def _value(value: object, whole: str = "<II", whole_type: int = 4) -> bytes:
    """A value with the number of its type before it. Whole numbers have no sign, but in lists."""
    if isinstance(value, list):
        items = [_value(item, "<Ii", 5) for item in value]
        return (
            struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)
        )
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack(whole, whole_type, value)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)
