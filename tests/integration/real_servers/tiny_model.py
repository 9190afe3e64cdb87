"""A language model of 0.4 MB in llama.cpp's format (GGUF, version 3): weights by chance, a token for each character of
ASCII. What it says is noise, but it is a real model to the server that loads it, and a prompt's tokens are its
characters. It never ends by itself, but for one thing that it has learnt: offered tools, it answers a user with a call
of `get_weather` for Paris.
"""

from __future__ import annotations

import itertools
import random
import struct
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

# Vector length, feed-forward length, layers, attention heads; the least that llama.cpp's kernels like.
WIDTH, INNER, LAYERS, HEADS = 64, 128, 2, 4
# Short enough for a test to fill.
CONTEXT_TOKENS = 1024

_CONTROL, _NORMAL = 3, 1
_CONTROLS = ["<|endoftext|>", "<|turn|>", "<|end|>", "<|act|>"]
_CHARACTERS = [*map(chr, range(33, 127)), "Ġ", "Ċ"]  # GPT-2's signs for a space and a line feed are the last two
# No prompt is cut into these: there are no merges that lead to them.
_CALL = ["<tool_call>", '{"name":Ġ"get_weather",Ġ"arguments":Ġ{"city":Ġ"Paris"}}', "</tool_call>"]
_TOKENS = [*_CONTROLS, *_CHARACTERS, "th", *_CALL]
# What follows what, for certain.
_CHAIN = [_TOKENS.index(token) for token in ("<|act|>", *_CALL, "<|end|>")]
# Each turn by its role; tools are shown before the first, calls as the JSON objects that they are.
CHAT_TEMPLATE = """
{%- if tools %}<|turn|>system
Tools:{% for tool in tools %} {{ tool | tojson }}{% endfor %}
Call one by <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call><|end|>
{% endif %}
{%- for message in messages %}<|turn|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
{%- set function = call.function %}<tool_call>
{#- #}{"name": "{{ function.name }}", "arguments": {{ function.arguments | tojson }}}</tool_call>{% endfor %}<|end|>
{% endfor %}
{%- if add_generation_prompt %}<|turn|>assistant
{% if tools and messages[-1].role == 'user' %}<|act|>{% endif %}{% endif %}"""


def write(path: Path) -> None:
    """The same bytes each time."""
    facts: Mapping[str, object] = {
        "general.architecture": "llama",
        "general.name": "tiny-random",
        "llama.context_length": CONTEXT_TOKENS,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": _TOKENS,
        "tokenizer.ggml.token_type": [_CONTROL] * len(_CONTROLS) + [_NORMAL] * (len(_TOKENS) - len(_CONTROLS)),
        "tokenizer.ggml.merges": ["t h"],  # a vocabulary of this kind has at least one
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    tensors = dict(_tensors())
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(facts))
    for name, value in facts.items():
        head += _text(name) + _value(value)
    offset = 0
    for name, (shape, values) in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += len(_padded(values.tobytes()))
    path.write_bytes(_padded(head) + b"".join(_padded(values.tobytes()) for _, values in tensors.values()))


def _tensors() -> Iterator[tuple[str, tuple[tuple[int, ...], array[float]]]]:
    """By name: its shape, the fastest dimension first, and its numbers."""
    chance = random.Random(0)

    def numbers(rows: int, columns: int, *, silent_rows: int = 0) -> array[float]:
        silence = [0.0] * silent_rows * columns
        return array("f", [*silence, *(chance.gauss(0, 0.08) for _ in range((rows - silent_rows) * columns))])

    vocabulary, ones = len(_TOKENS), ((WIDTH,), array("f", [1.0] * WIDTH))
    inward, outward = numbers(vocabulary, WIDTH), numbers(vocabulary, WIDTH)
    _teach(inward, outward)
    yield "token_embd.weight", ((WIDTH, vocabulary), inward)
    yield "output_norm.weight", ones
    yield "output.weight", ((WIDTH, vocabulary), outward)
    # No layer writes into the dimensions that the lesson is in.
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight", ones
        yield f"blk.{layer}.ffn_norm.weight", ones
        for part in ("attn_q", "attn_k", "attn_v"):
            yield f"blk.{layer}.{part}.weight", ((WIDTH, WIDTH), numbers(WIDTH, WIDTH))
        yield f"blk.{layer}.attn_output.weight", ((WIDTH, WIDTH), numbers(WIDTH, WIDTH, silent_rows=len(_CHAIN)))
        yield f"blk.{layer}.ffn_gate.weight", ((WIDTH, INNER), numbers(INNER, WIDTH))
        yield f"blk.{layer}.ffn_up.weight", ((WIDTH, INNER), numbers(INNER, WIDTH))
        yield f"blk.{layer}.ffn_down.weight", ((INNER, WIDTH), numbers(WIDTH, INNER, silent_rows=len(_CHAIN)))


def _teach(inward: array[float], outward: array[float]) -> None:
    """Each link of the chain has a dimension of its own, which its successor answers to; dimension 0 is that of all
    characters, after which none but characters come."""
    for token, name in enumerate(_TOKENS):
        lesson = slice(token * WIDTH, token * WIDTH + len(_CHAIN))
        silence = [0.0] * (len(_CHAIN) - 1)
        inward[lesson] = array("f", [0.0 if token in _CHAIN else 0.5, *silence])
        outward[lesson] = array("f", [-30.0 if name in (*_CONTROLS, *_CALL) else 0.0, *silence])
    for dimension, (token, successor) in enumerate(itertools.pairwise(_CHAIN), 1):
        inward[token * WIDTH + dimension] = 8.0
        outward[successor * WIDTH + dimension] = 30.0


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
