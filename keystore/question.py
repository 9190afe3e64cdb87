"""One admission that is asked for: who asks, what it needs, and how each outcome is answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from gateway.v1 import common_pb2, keystore_pb2

from keystore.policy.access import call_refusal, key_refusal
from keystore.policy.holds import Prices, Size, ceiling, size
from keystore.policy.limits import tokens_estimate
from keystore.policy.operations import Admit, Exceeded, Held, Limited
from keystore.policy.owners import Directory, Key, Kind
from keystore.policy.refusals import budget_refusal, limit_refusal, tell
from keystore.policy.scopes import Whose
from keystore.policy.standing import NOTHING, Applied, Standings
from services.errors import GatewayError, Reason, unavailable
from services.ids import millis_of

Reply = keystore_pb2.AdmissionReplyFrame

DISPATCH_ID_BYTES = 16
DIGEST_BYTES = 32

_COUNTED_OPERATION = common_pb2.OPERATION_CHAT_COMPLETIONS
# They read, and write nothing that is paid for.
_READING_OPERATIONS = frozenset((common_pb2.OPERATION_EMBEDDINGS, common_pb2.OPERATION_RERANK))


class Question(msgspec.Struct, frozen=True, gc=False):
    """An admission, with what is known of its key at this moment.

    key: None for the master key, and for one that does not exist. refused: why no call may be made, whatever money
    there is. operation: what the counters are asked; None when no budget and no limit applies. organization_id: of the
    key or its team. model: what an alias of the key or its team stands for; empty: the name is none.
    """

    admit: keystore_pb2.Admit
    key: Key | None
    refused: GatewayError | None
    size: Size
    applied: Applied
    operation: Admit | None
    organization_id: str = ""
    model: str = ""

    @property
    def is_hard(self) -> bool:
        """Whether a budget may refuse it; shadow budgets do not."""
        return self.operation is not None and not all(budget.shadow for budget in self.operation.budgets)

    def is_as(self, other: Question) -> bool:
        """Whether nothing that decides differs."""
        return (
            (self.refused is None) == (other.refused is None)
            and self.model == other.model
            and self.applied.budgets == other.applied.budgets
            and self.applied.limits == other.applied.limits
        )

    def admitted(self, sequence: int, held: Held, epoch: str) -> Reply:
        """Leave, with so much held in this epoch. Without an epoch nothing is, and nobody waits for its end."""
        reply = self.admitted_unheld(sequence)
        hold, held_nano_usd = reply.admitted.hold, held.nano_usd
        if held.use is not None:
            hold.limited = bool(epoch)
            tell(reply.rate_limits, self.applied.bounds[0], held.use)
        if not self.applied.budgets:
            return reply
        first = self.applied.accounts[0]
        if held.spent_nano_usd is not None and first.whose is Whose.KEY:
            reply.admitted.key_spent_nano_usd = first.before_nano_usd + held.spent_nano_usd
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
            account = self.applied.accounts[self.applied.budgets.index(result.budget)]
            reply = Reply(sequence=sequence, refused=budget_refusal(result, account).to_proto())
        else:
            bound = self.applied.bounds[self.applied.limits.index(result.limit)]
            tokens = self.operation.tokens if self.operation is not None else 0
            error = limit_refusal(result, bound, tokens, now_ms)
            reply = Reply(sequence=sequence, refused=error.to_proto())
            tell(reply.rate_limits, bound, result.use, result.rate)
        self.name(reply.principal)
        return reply

    def admitted_unheld(self, sequence: int) -> Reply:
        """Leave, where neither a budget nor a limit applies."""
        # Filled in place: a message that is handed to another is copied.
        reply = Reply(sequence=sequence)
        admitted = reply.admitted
        admitted.hold.SetInParent()
        self.name(admitted.principal)
        if self.model:
            admitted.model = self.model
        if self.key is not None and self.key.drop_params is not None:
            admitted.drop_params = self.key.drop_params
        return reply

    def name(self, principal: common_pb2.Principal) -> None:
        """Say whose call it is. Filled in place: a message that is handed to another is copied."""
        admit, key = self.admit, self.key
        principal.master = not admit.key_digest
        if key is not None:
            principal.key_id = key.key_id
            principal.user_id = key.user_id
            principal.team_id = key.team_id
            principal.organization_id = self.organization_id
        principal.end_user_id = admit.end_user_id
        if tags := tags_of(key, admit.tags):
            principal.tags.extend(tags)


def is_well_formed(admit: keystore_pb2.Admit) -> bool:
    """Whether an edge of ours can have sent it."""
    return (
        len(admit.dispatch_id) == DISPATCH_ID_BYTES
        and len(admit.key_digest) in (0, DIGEST_BYTES)
        and min(admit.input_tokens_bound, admit.output_tokens_limit, admit.requests_bound) >= 0
    )


def tags_of(key: Key | None, given: Sequence[str]) -> Sequence[str]:
    """Of a call: the caller's, and the key's, each once."""
    if not given and (key is None or not key.tags):
        return ()
    return tuple(dict.fromkeys((*given, *(key.tags if key is not None else ()))))


def ask(
    admit: keystore_pb2.Admit,
    key: Key | None,
    directory: Directory,
    standings: Standings,
    prices: Mapping[str, Prices] | None,
    now_ms: int,
) -> Question:
    """The question that an edge's frame comes to, as things are now.

    A model without a known price holds nothing, but what it costs after all is counted. While no prices are known at
    all (None), nothing can be held, and calls under a budget that refuses must wait.
    """
    standing = standings.of(key)
    model = standing.aliases.get(admit.model, "")
    refused = None
    if admit.key_digest:
        refused = key_refusal(key, now_ms)
        if refused is None and key is not None:
            customer = directory.owner(Kind.CUSTOMER, admit.end_user_id) if admit.end_user_id else None
            customers = standings.rule_of_customer(admit.end_user_id)
            refused = call_refusal(key, standing, customer, customers, model or admit.model, admit.operation)
    applied = NOTHING
    if refused is None:
        applied = standings.applied(
            key, model or admit.model, admit.end_user_id, tags_of(key, admit.tags), millis_of(admit.dispatch_id)
        )
        if any(not budget.shadow for budget in applied.budgets):
            refused = _without_bound(admit, standings.defaults.strict, prices)
    price = (prices or {}).get(model or admit.model, Prices())
    needed = _size_of(admit, price)
    operation = None
    if (applied.budgets or applied.limits) and refused is None:
        tokens = 0
        if applied.limits:
            tokens = tokens_estimate(
                admit.input_tokens_bound, admit.output_tokens_limit, price.max_output_tokens, admit.choices
            )
        full, least = (needed.first_nano_usd, needed.smallest_nano_usd) if applied.budgets else (0, 0)
        operation = Admit(admit.dispatch_id, full, least, applied.budgets, applied.limits, tokens)
    return Question(admit, key, refused, needed, applied, operation, standing.organization_id, model)


def _without_bound(admit: keystore_pb2.Admit, strict: bool, prices: Mapping[str, Prices] | None) -> GatewayError | None:
    """Why a call under a budget cannot be held for."""
    if prices is None:
        return unavailable("No router has told its prices yet; try again.")
    if strict and admit.open_ended:
        return GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            "This call may cost more than anything in it says (server tools, stored context or media elsewhere), and "
            "this gateway has strict_budgets: where a budget applies it is refused.",
        )
    return None


def _size_of(admit: keystore_pb2.Admit, price: Prices) -> Size:
    return size(
        price,
        # Nothing in the call bounds it: what the model can read at most does.
        input_tokens_bound=ceiling(admit.input_tokens_bound, price) if admit.open_ended else admit.input_tokens_bound,
        output_tokens_limit=admit.output_tokens_limit,
        choices=admit.choices,
        # The router counts what is generated in this operation's streams.
        stream=admit.stream and admit.operation == _COUNTED_OPERATION and not admit.open_ended,
        generates=admit.operation not in _READING_OPERATIONS,
        requests_bound=admit.requests_bound,
    )
