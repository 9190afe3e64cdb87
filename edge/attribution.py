"""Whom a call is counted for beside its key, as headers say it: LiteLLM's, read where the body's own word does not do.

A customer named by a header wins over the body's `user`; tags of both count. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edge.peek import MAX_NAME_CHARS, MAX_TAGS, Peek
from services.errors import GatewayError, Reason

_TAGS = b"x-litellm-tags"
# The first of these that is there names the customer.
_CUSTOMER = (b"x-litellm-customer-id", b"x-litellm-end-user-id")
_PREFIX = b"x-litellm-"


def attributed(peek: Peek, headers: Iterable[tuple[bytes, bytes]]) -> Peek:
    """The peek, with what these headers add. GatewayError (INVALID_REQUEST) when that is too much."""
    said = {name: value.decode("utf-8", "replace") for name, value in headers if name.startswith(_PREFIX)}
    if not said:  # almost always
        return peek
    customer = next((value for name in _CUSTOMER if (value := said.get(name, "").strip())), peek.end_user_id)
    given = (tag.strip() for tag in said.get(_TAGS, "").split(","))
    tags = tuple(dict.fromkeys((*peek.tags, *filter(None, given))))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_NAME_CHARS for tag in tags):
        raise _invalid(f"At most {MAX_TAGS} tags of at most {MAX_NAME_CHARS} characters.", _TAGS)
    if len(customer) > MAX_NAME_CHARS:
        raise _invalid(f"A customer's id is longer than {MAX_NAME_CHARS} characters.", _CUSTOMER[0])
    return msgspec.structs.replace(peek, end_user_id=customer, tags=tags)


def _invalid(message: str, header: bytes) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=header.decode())
