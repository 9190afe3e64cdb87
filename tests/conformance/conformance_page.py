"""docs/reference/conformance.md: what of the recorded traffic passes, by provider and feature, and what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# What the recordings mark that a reader asks for; the rest of their marks is about the recordings themselves.
FEATURES = {
    "stream": "streams",
    "tool-call": "tools",
    "parallel-tool-calls": "parallel calls",
    "tool-result": "tool results",
    "image-input": "images",
    "document-input": "documents",
    "audio-input": "audio",
    "json-mode": "JSON",
    "json-schema": "JSON schema",
    "reasoning": "reasoning",
    "prompt-cache": "cache marks",
    "logprobs": "logprobs",
    "n>1": "n > 1",
    "error": "errors",
}

_OPENING = """# Conformance

Written by `pytest tests/conformance/test_replay.py --write-pages`; the suite fails when it is not true.

Real exchanges with real providers, recorded by other projects, are sent through a running gateway: chats, embeddings
and reranks. An exchange passes when the provider was asked for what the recording asked, and the caller is told what
the recording says: text, tool calls, finish reason, reasoning, refusal, choices, tokens of each kind, model, vectors,
ranks, or the error's status, type and words. The recordings are not part of the project; of what they do not hold
(providers, models, features) this page says nothing.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """problems: what differs, in words; empty when the exchange passes."""

    exchange: str
    dialect: str
    provider: str
    features: tuple[str, ...]
    problems: list[str]


def page_of(verdicts: Sequence[Verdict]) -> str:
    """The page."""
    passed = sum(not each.problems for each in verdicts)
    lines = [_OPENING, f"{passed} of {len(verdicts)} pass.\n", "## By provider and feature\n"]
    lines.append("A cell is what passes of what there is.\n")
    lines.append(f"| language | provider | all | {' | '.join(FEATURES.values())} |")
    lines.append("| --- | --- |" + " ---: |" * (len(FEATURES) + 1))
    for dialect, provider in sorted({(each.dialect, each.provider) for each in verdicts}):
        rows = [each for each in verdicts if (each.dialect, each.provider) == (dialect, provider)]
        cells = [_cell(rows), *(_cell([row for row in rows if mark in row.features]) for mark in FEATURES)]
        lines.append(f"| {dialect} | {provider} | {' | '.join(cells)} |")
    lines.append("\n## What does not pass\n")
    failed = [each for each in verdicts if each.problems]
    for each in sorted(failed, key=lambda verdict: verdict.exchange):
        lines.append(f"- `{each.exchange}`: {_plain('; '.join(each.problems[:3]))}")
    if not failed:
        lines.append("Nothing.")
    causes = Counter(problem.partition(":")[0] for each in failed for problem in each.problems)
    if causes:
        lines.append(
            "\nBy what differs: " + ", ".join(f"{name} {count}" for name, count in sorted(causes.items())) + "."
        )
    return "\n".join(lines) + "\n"


def _cell(rows: Sequence[Verdict]) -> str:
    return f"{sum(not row.problems for row in rows)}/{len(rows)}" if rows else ""


def _plain(text: str) -> str:
    """On one line, without what Markdown would read."""
    return " ".join(text.replace("`", "'").replace("|", "/").replace("<", "&lt;").split())[:400]
