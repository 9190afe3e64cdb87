"""What can be wrong with bytes that somebody else wrote as JSON."""

from __future__ import annotations

import msgspec

# What decoding raises: for what is no JSON, or not of the type (ValidationError is one of them); for text that is no
# UTF-8; for nesting that would exhaust the stack.
NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
