"""One admission that is asked for: who asks, what it needs, and how each outcome is answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from gateway.v1 import common_pb2, keystore_pb2

from keystore.policy.access import GATEWAY_SCOPE, budget_refusal, key_scope, refusal
from keystore.policy.holds import Prices, Size, size
from keystore.policy.limits import NAMES, limit_of, limit_refusal, limits_of, rows, tokens_estimate
from keystore.policy.operations import Admit, Budget, Exceeded, Held, Limit, Limited, Rate, Use
from keystore.policy.owners import Key
from services.errors import GatewayError, unavailable

Reply = keystore_pb2.AdmissionReplyFrame

DISPATCH_ID_BYTES = 16
DIGEST_BYTES = 32

_COUNTED_OPERATION = common_pb2.OPERATION_CHAT_COMPLETIONS
# They read, and write nothing that is paid for.
_READING_OPERATIONS = frozenset((common_pb2.OPERATION_EMBEDDINGS, common_pb2.OPERATION_RERANK))

_MEMBERS = {Rate.REQUESTS: "requests", Rate.TOKENS: "tokens", Rate.PARALLEL: "parallel"}


class Question(msgspec.Struct, frozen=True, gc=False):
    """An admission, with what is known of its key at this moment.

    key: None for the master key, and for one that does not exist. refused: why no call may be made, whatever money
    there is. operation: what the counters are asked; None when no budget and no limit applies.
    """

    admit: keystore_pb2.Admit
    key: Key | None
    refused: GatewayError | None
    size: Size
    operation: Admit | None

    def admitted(self, sequence: int, held: Held, epoch: str) -> Reply:
        """Leave, with so much held in this epoch. Without an epoch nothing is, and nobody waits for its end."""
        reply = self.admitted_unheld(sequence)
        hold, held_nano_usd = reply.admitted.hold, held.nano_usd
        if held.use is not None:
            hold.limited = bool(epoch)
            self._tell(reply.rate_limits, held.use)
        if self.operation is None or not self.operation.budgets:
            return reply
        if held.spent_nano_usd is not None and self.key is not None and self.key.terms.max_budget_nano_usd is not None:
            # Of the first budget, which is the key's when it has one.
            reply.admitted.key_spent_nano_usd = held.spent_nano_usd
        hold.held_nano_usd = held_nano_usd
        hold.output_tokens_limit = self.size.output_tokens_limit(held_nano_usd)
        hold.epoch = epoch
        hold.output_tokens_bound = self.size.output_tokens
        hold.choices = self.size.choices
        hold.extendable = self.size.is_slice(held_nano_usd)
        return reply

    def refused_by(self, result: Exceeded | Limited, sequence: int, now_ms: int) -> Reply:
        """Why not, when a budget has too little left or a limit is reached."""
        if isinstance(result, Exceeded):
            error = budget_refusal(result, self.key)
        else:
            tokens = self.operation.tokens if self.operation is not None else 0
            error = limit_refusal(result, self.key, tokens, now_ms)
        reply = Reply(sequence=sequence, refused=error.to_proto())
        name(reply.principal, self.key, master=not self.admit.key_digest)
        if isinstance(result, Limited) and self.key is not None and result.limit == limit_of(self.key):
            self._tell(reply.rate_limits, result.use, result.rate)
        return reply

    def _tell(self, told: keystore_pb2.RateLimits, use: Use, exceeded: Rate | None = None) -> None:
        """Say how it stands with the key's own limit; what all calls together do is nobody's business."""
        limit = limit_of(self.key)
        if limit is None:
            return
        for rate, (most, used) in rows(limit, use).items():
            if most is not None:
                setattr(told, f"{_MEMBERS[rate]}_limit", most)
                setattr(told, f"{_MEMBERS[rate]}_remaining", max(0, most - used))
        told.reset_ms = use.left_ms
        if exceeded is not None:
            told.exceeded = NAMES[exceeded]

    def admitted_unheld(self, sequence: int) -> Reply:
        """Leave, where neither a budget nor a limit applies."""
        # Filled in place: a message that is handed to another is copied.
        reply = Reply(sequence=sequence)
        reply.admitted.hold.SetInParent()
        principal = reply.admitted.principal
        name(principal, self.key, master=not self.admit.key_digest)
        principal.end_user_id = self.admit.end_user_id
        principal.tags.extend(self.admit.tags)
        return reply


def name(principal: common_pb2.Principal, key: Key | None, *, master: bool) -> None:
    """Say whose call it is. Filled in place: a message that is handed to another is copied."""
    principal.master = master
    if key is not None:
        principal.key_id = key.key_id
        principal.user_id = key.user_id
        principal.team_id = key.team_id


def is_well_formed(admit: keystore_pb2.Admit) -> bool:
    """Whether an edge of ours can have sent it."""
    return (
        len(admit.dispatch_id) == DISPATCH_ID_BYTES
        and len(admit.key_digest) in (0, DIGEST_BYTES)
        and min(admit.input_tokens_bound, admit.output_tokens_limit, admit.requests_bound) >= 0
    )


def ask(
    admit: keystore_pb2.Admit,
    key: Key | None,
    prices: Mapping[str, Prices] | None,
    gateway_cap_nano_usd: int | None,
    now_ms: int,
    gateway_limit: Limit | None = None,
) -> Question:
    """The question that an edge's frame comes to, as things are now.

    A model without a known price holds nothing, but what it costs after all is counted. While no prices are known at
    all (None), nothing can be held, and calls under a budget must wait.
    """
    budgets, limits = budgets_of(key, gateway_cap_nano_usd), limits_of(key, gateway_limit)
    refused = refusal(key, admit.model, now_ms) if admit.key_digest else None
    if refused is None and budgets and prices is None:
        refused = unavailable("No router has told its prices yet; try again.")
    price = (prices or {}).get(admit.model, Prices())
    needed = size(
        price,
        input_tokens_bound=admit.input_tokens_bound,
        output_tokens_limit=admit.output_tokens_limit,
        choices=admit.choices,
        # The router counts what is generated in this operation's streams.
        stream=admit.stream and admit.operation == _COUNTED_OPERATION,
        generates=admit.operation not in _READING_OPERATIONS,
        requests_bound=admit.requests_bound,
    )
    operation = None
    if (budgets or limits) and refused is None:
        tokens = 0
        if limits:
            tokens = tokens_estimate(
                admit.input_tokens_bound, admit.output_tokens_limit, price.max_output_tokens, admit.choices
            )
        full, least = (needed.first_nano_usd, needed.smallest_nano_usd) if budgets else (0, 0)
        operation = Admit(admit.dispatch_id, full, least, budgets, limits, tokens)
    return Question(admit, key, refused, needed, operation)


def budgets_of(key: Key | None, gateway_cap_nano_usd: int | None) -> tuple[Budget, ...]:
    """The budgets that apply to a call with this key, in the order in which they are told as exceeded."""
    caps = (
        (key_scope(key.key_id) if key else "", key.terms.max_budget_nano_usd if key else None),
        (GATEWAY_SCOPE, gateway_cap_nano_usd),
    )
    return tuple(Budget(scope, cap) for scope, cap in caps if cap is not None)
