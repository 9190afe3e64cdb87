"""Thinking that stands in tags at the start of an answer's text, as servers of open models leave it."""

from __future__ import annotations

from typing import Any

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"))


class ThinkTags:
    """The text of one choice, piece by piece, taken apart; any pieces of the same text give the same.

    What may yet turn out to be a tag is held back: no more than a tag's length, and blanks before the first.
    """

    __slots__ = ("_close", "_held", "_is_text", "_was_thinking")

    def __init__(self) -> None:
        self._held = ""
        # The end of the thinking that is under way; empty outside.
        self._close = ""
        self._is_text = False
        self._was_thinking = False

    @property
    def settled(self) -> bool:
        """Whether all that is to come is text."""
        return self._is_text and not self._was_thinking

    def lift(self, part: dict[str, Any], *, ends: bool) -> None:
        """Take the thinking out of `content` of a delta or a message. ends: no more will come."""
        content = part.get("content")
        if self.settled:
            return
        thoughts, text = self._taken_apart(content if isinstance(content, str) else "", ends=ends)
        if isinstance(content, str) or text:
            part["content"] = text
        if thoughts:
            part["reasoning_content"] = (part.get("reasoning_content") or "") + thoughts

    def _taken_apart(self, piece: str, *, ends: bool) -> tuple[str, str]:
        """The thinking and the text of what is in hand now."""
        thoughts = ""
        self._held += piece
        if not self._close and not self._is_text:
            self._begin()
        if self._close:
            inside, found, after = self._held.partition(self._close)
            kept = 0 if found or ends else _overlap(inside, self._close)
            thoughts = inside[: len(inside) - kept]
            self._held = after if found else inside[len(inside) - kept :]
            if not found:
                self._held = "" if ends else self._held
                return thoughts, ""
            self._close, self._is_text, self._was_thinking = "", True, True
        if not self._is_text and not ends:
            return thoughts, ""
        text, self._held = self._held, ""
        if self._was_thinking:
            # Line ends between the tag and the answer belong to neither.
            text = text.lstrip("\n")
            self._was_thinking = not text
        return thoughts, text

    def _begin(self) -> None:
        start = self._held.lstrip()
        for opening, close in _TAGS:
            if start.startswith(opening):
                self._held, self._close = start[len(opening) :], close
                return
        # Blanks alone may come before a tag; an answer does not begin with more of them than this.
        self._is_text = not any(opening.startswith(start) for opening, _ in _TAGS) or len(self._held) > 64


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of a text may be the start of a tag."""
    return next((size for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), 0)
