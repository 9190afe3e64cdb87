"""To whom a call is counted: the budgets and limits of everybody whom its key, customer, tags and model lead to. Pure.

What hangs on the key alone is resolved once, and kept until a key, an owner or a group of models changes, or a period
ends. Customers, tags and models of keys and teams are added call by call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from keystore.policy.defaults import Defaults
from keystore.policy.operations import Budget, Limit
from keystore.policy.owners import Directory, Key, Kind, Owner, member_id
from keystore.policy.scopes import Whose, in_period, key_scope, scope_of
from keystore.policy.terms import NONE, ModelTerms, Terms, filled
from services.allowed_models import Allowed, Groups, compiled, merged
from services.durations import Period, parse, period_at
from services.money import MAX_BUDGET_NANO_USD

_ALWAYS = Period(0, 0)
_NEVER_MS = 1 << 62
# Whose terms of single models are kept to.
_OF_MODEL = {Whose.KEY: Whose.KEY_MODEL, Whose.TEAM: Whose.TEAM_MODEL}

# Lines of customers and tags that are kept for the next call: a few MB.
MAX_KEPT = 10_000


class Line(msgspec.Struct, frozen=True, gc=False):
    """Somebody whom calls are counted to. name: as texts have it. scope: of all time. since_ms: from when on; what was
    spent before counts as `before_nano_usd`."""

    whose: Whose
    name: str
    scope: str
    terms: Terms
    since_ms: int = 0
    before_nano_usd: int = 0


class Account(msgspec.Struct, frozen=True, gc=False):
    """One budget of a line, in its present period, which ends at `end_ms`; 0: never. The budget's cap is `cap_nano_usd`
    without what was spent before, `before_nano_usd`. shadow: it refuses nothing. soft_nano_usd: who has spent more is
    told of. counts: it is a budget; else it is there for the soft one alone, and no counter knows it."""

    whose: Whose
    name: str
    budget: Budget
    cap_nano_usd: int
    before_nano_usd: int = 0
    end_ms: int = 0
    shadow: bool = False
    soft_nano_usd: int | None = None
    counts: bool = True


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The limits of a line."""

    whose: Whose
    name: str
    limit: Limit


class Applied(msgspec.Struct, frozen=True, gc=False):
    """All that applies to a call, in the order in which it is told as reached, and for the script. soft: of those who
    have a soft budget and no other."""

    accounts: tuple[Account, ...] = ()
    bounds: tuple[Bound, ...] = ()
    budgets: tuple[Budget, ...] = ()
    limits: tuple[Limit, ...] = ()
    soft: tuple[Account, ...] = ()


NOTHING = Applied()


class Rule(msgspec.Struct, frozen=True, gc=False):
    """Somebody's list of models."""

    whose: Whose
    allowed: Allowed


class Standing:
    """What hangs on one key, or on the master key."""

    __slots__ = (
        "_applied",
        "_since_ms",
        "_until_ms",
        "aliases",
        "blocked",
        "lines",
        "models",
        "organization_id",
        "rules",
    )

    def __init__(
        self,
        lines: Sequence[Line],
        models: Mapping[str, Sequence[Line]],
        rules: Sequence[Rule],
        aliases: Mapping[str, str],
        blocked: Sequence[Owner],
        organization_id: str,
    ) -> None:
        self.lines = lines
        self.models = models
        self.rules = rules
        self.aliases = aliases
        self.blocked = blocked
        self.organization_id = organization_id
        self._applied = NOTHING
        self._since_ms = self._until_ms = 0

    def at(self, at_ms: int, defaults: Defaults) -> Applied:
        """What applies at a moment."""
        if not self._since_ms <= at_ms < self._until_ms:
            self._applied = applied(self.lines, at_ms, defaults)
            found = (*self._applied.accounts, *self._applied.soft)
            ends = [account.end_ms for account in found if account.end_ms]
            ends += [line.terms.budget_increase_until_ms for line in self.lines]
            # A moment before this one may lie in another period: dispatch ids come from several hosts.
            self._since_ms, self._until_ms = at_ms, min((end for end in ends if end > at_ms), default=_NEVER_MS)
        return self._applied


class Standings:
    """Of all keys. `groups` are the groups of models that deployments name (catalog); owners may be groups too."""

    def __init__(self, directory: Directory, defaults: Defaults) -> None:
        self._directory = directory
        self._defaults = defaults
        self._groups: Groups = {}
        self._generation = -1
        self._standings: dict[str, Standing] = {}
        self._kept: dict[tuple[Whose, str], Line | None] = {}

    @property
    def defaults(self) -> Defaults:
        """Of those who have no terms."""
        return self._defaults

    def set_groups(self, groups: Groups) -> None:
        """What routers say that names of groups stand for."""
        self._groups = groups
        self._generation = -1

    def of(self, key: Key | None) -> Standing:
        """Of a key; None: the master key."""
        self._drop_outdated()
        name = key.key_id if key is not None else ""
        standing = self._standings.get(name)
        if standing is None:
            standing = self._standings[name] = self._resolve(key)
        return standing

    def applied(self, key: Key | None, model: str, end_user_id: str, tags: Iterable[str], at_ms: int) -> Applied:
        """What applies to a call. tags: the caller's and the key's."""
        standing = self.of(key)
        more = list(standing.models.get(model, ()))
        if end_user_id and (line := self._kept_line(Whose.CUSTOMER, end_user_id)) is not None:
            more.append(line)
        more += [line for tag in tags if (line := self._kept_line(Whose.TAG, tag)) is not None]
        always = standing.at(at_ms, self._defaults)
        if not more:
            return always
        added = applied(more, at_ms, self._defaults)
        return Applied(
            always.accounts + added.accounts,
            always.bounds + added.bounds,
            always.budgets + added.budgets,
            always.limits + added.limits,
            always.soft + added.soft,
        )

    def rule_of_customer(self, end_user_id: str) -> Rule | None:
        """The customer's list of models; None where it allows everything."""
        self._drop_outdated()
        line = self._kept_line(Whose.CUSTOMER, end_user_id) if end_user_id else None
        return self._rule(line) if line is not None and line.terms.models else None

    def scopes_of_all_time(self, key: Key | None, model: str, end_user_id: str, tags: Iterable[str]) -> list[Budget]:
        """Of everybody whom a call is counted to and who has no budget now, but may have had one when it began."""
        lines = [*self.of(key).lines, *self.of(key).models.get(model, ())]
        lines += filter(None, (self._kept_line(Whose.TAG, tag) for tag in tags))
        if end_user_id:
            lines += filter(None, (self._kept_line(Whose.CUSTOMER, end_user_id),))
        return [
            Budget(line.scope, MAX_BUDGET_NANO_USD)
            for line in lines
            if line.terms.max_budget_nano_usd is None and not line.terms.budget_limits
        ]

    def line_of_key(self, key: Key) -> Line:
        """The key itself."""
        terms = self._filled(key.terms, self._defaults.key)
        return Line(
            Whose.KEY, key.key_name, key_scope(key.key_id), terms, key.spent_since_ms, key.spent_before_nano_usd
        )

    def line_of(self, owner: Owner) -> Line | None:
        """An owner; None for one to whom no call is counted."""
        match owner.kind:
            case Kind.USER:
                whose = Whose.USER if self._defaults.user_pays_for_team_keys else Whose.PERSONAL
                return self._line(whose, owner.id, owner.terms, self._defaults.user)
            case Kind.TEAM:
                return self._line(Whose.TEAM, owner.id, owner.terms, self._defaults.team)
            case Kind.TEAM_MEMBER:
                team = self._directory.owner(Kind.TEAM, owner.team_id)
                return Line(
                    Whose.MEMBER,
                    f"{owner.user_id}:{owner.team_id}",
                    scope_of(Whose.MEMBER, owner.team_id, owner.user_id),
                    self._filled(owner.terms, team.member_terms if team is not None else None),
                )
            case Kind.CUSTOMER:
                return self._line(Whose.CUSTOMER, owner.id, owner.terms, self._defaults.customer)
            case Kind.ORGANIZATION:
                return self._line(Whose.ORGANIZATION, owner.id, owner.terms)
            case Kind.TAG:
                return self._line(Whose.TAG, owner.id, owner.terms)
            case _:
                return None

    def _drop_outdated(self) -> None:
        if self._generation != self._directory.generation:
            self._standings.clear()
            self._kept.clear()
            self._generation = self._directory.generation

    def period_end_ms(self, line: Line, now_ms: int) -> int:
        """When the present period of a budget ends; 0: there is none, or it is of all time."""
        accounts = applied([line], now_ms, self._defaults).accounts
        return accounts[0].end_ms if accounts else 0

    def _line(self, whose: Whose, owner_id: str, terms: Terms, default: Terms | None = None) -> Line:
        return Line(whose, owner_id, scope_of(whose, owner_id), self._filled(terms, default))

    def _filled(self, terms: Terms, default: Terms | None) -> Terms:
        """With what they leave open from the budget that they refer to, from the default, and from the default's."""
        others = [self._budget(terms)]
        if default is not None:
            others += (default, self._budget(default))
        return filled(terms, others)

    def _budget(self, terms: Terms) -> Terms | None:
        budget = self._directory.owner(Kind.BUDGET, terms.budget_id) if terms.budget_id else None
        return budget.terms if budget is not None else None

    def _kept_line(self, whose: Whose, name: str) -> Line | None:
        """Of a customer or a tag; None where nothing is to be kept to."""
        if (whose, name) in self._kept:
            return self._kept[whose, name]
        kind = Kind.CUSTOMER if whose is Whose.CUSTOMER else Kind.TAG
        owner = self._directory.owner(kind, name)
        if owner is None and kind is Kind.CUSTOMER and self._defaults.customer != NONE:
            owner = Owner(kind, name)
        line = self.line_of(owner) if owner is not None else None
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[whose, name] = line
        return line

    def _resolve(self, key: Key | None) -> Standing:
        gateway = Line(Whose.GATEWAY, "", Whose.GATEWAY.value, self._defaults.gateway)
        if key is None:
            return Standing((gateway,), {}, (), {}, (), "")
        find, defaults = self._directory.owner, self._defaults
        user = _found_or_default(find(Kind.USER, key.user_id), Kind.USER, key.user_id, defaults.user)
        team = _found_or_default(find(Kind.TEAM, key.team_id), Kind.TEAM, key.team_id, defaults.team)
        member = None
        if key.team_id and key.user_id:
            member = find(Kind.TEAM_MEMBER, member_id(key.team_id, key.user_id))
        organization_id = key.organization_id or (team.organization_id if team is not None else "")
        organization = find(Kind.ORGANIZATION, organization_id)
        # A call with a team's key is the team's to pay for.
        payer = user if not key.team_id or defaults.user_pays_for_team_keys else None
        payers = [owner for owner in (payer, team, member, organization) if owner is not None]
        lines = [self.line_of_key(key), *filter(None, map(self.line_of, payers)), gateway]
        models: dict[str, list[Line]] = {}
        for line in lines:
            for model, its in model_lines(line):
                models.setdefault(model, []).append(its)
        return Standing(
            lines,
            models,
            self._rules(lines),
            {**(team.aliases if team is not None else {}), **key.aliases},
            [owner for owner in (team, user, member, organization) if owner is not None and owner.blocked],
            organization_id,
        )

    def _rules(self, lines: Iterable[Line]) -> list[Rule]:
        return [rule for line in lines if (rule := self._rule(line)) is not None]

    def _rule(self, line: Line) -> Rule | None:
        """None where everything is allowed."""
        owned = {
            name: frozenset(group.terms.models)
            for name in line.terms.models
            if (group := self._directory.owner(Kind.ACCESS_GROUP, name)) is not None
        }
        allowed = compiled(line.terms.models, merged(self._groups, owned) if owned else self._groups)
        return None if allowed.everything else Rule(line.whose, allowed)


def applied(lines: Iterable[Line], at_ms: int, defaults: Defaults) -> Applied:
    """What these lines come to at a moment."""
    accounts: dict[str, Account] = {}
    bounds: dict[str, Bound] = {}
    soft: list[Account] = []
    for line in lines:
        if (account_of_soft := _soft_account(line, at_ms, defaults)) is not None:
            soft.append(account_of_soft)
        for account in _accounts(line, at_ms, defaults):
            other = accounts.get(account.budget.scope)
            if other is None or account.budget.cap_nano_usd < other.budget.cap_nano_usd:
                accounts[account.budget.scope] = account
        if line.terms.has_limit:
            terms = line.terms
            limit = Limit(line.scope, terms.rpm_limit, terms.tpm_limit, terms.max_parallel_requests)
            bounds[line.scope] = Bound(line.whose, line.name, limit)
    return Applied(
        tuple(accounts.values()),
        tuple(bounds.values()),
        tuple(account.budget for account in accounts.values()),
        tuple(bound.limit for bound in bounds.values()),
        tuple(soft),
    )


def _accounts(line: Line, at_ms: int, defaults: Defaults) -> list[Account]:
    terms = line.terms
    windows = [(each.max_budget_nano_usd, each.budget_duration) for each in terms.budget_limits]
    if terms.max_budget_nano_usd is not None:
        increase = terms.budget_increase_nano_usd if at_ms < terms.budget_increase_until_ms else 0
        cap_nano_usd = min(terms.max_budget_nano_usd + increase, MAX_BUDGET_NANO_USD)
        windows.insert(0, (cap_nano_usd, terms.budget_duration))
    accounts = [_account(line, cap, duration, at_ms, defaults) for cap, duration in windows]
    if accounts and terms.soft_budget_nano_usd is not None:
        # A soft budget is of the period of the first.
        accounts[0] = msgspec.structs.replace(accounts[0], soft_nano_usd=terms.soft_budget_nano_usd)
    return accounts


def _soft_account(line: Line, at_ms: int, defaults: Defaults) -> Account | None:
    """Of somebody who has a soft budget and no other."""
    terms = line.terms
    if terms.soft_budget_nano_usd is None or terms.max_budget_nano_usd is not None or terms.budget_limits:
        return None
    account = _account(line, MAX_BUDGET_NANO_USD, terms.budget_duration, at_ms, defaults)
    return msgspec.structs.replace(account, soft_nano_usd=terms.soft_budget_nano_usd, counts=False)


def _account(line: Line, cap_nano_usd: int, duration: str, at_ms: int, defaults: Defaults) -> Account:
    period = period_at(parse(duration), at_ms, defaults.zone) if duration else _ALWAYS
    began_anew = line.since_ms > period.start_ms
    since_ms = max(line.since_ms, period.start_ms)
    before_nano_usd = line.before_nano_usd if began_anew else 0
    budget = Budget(
        in_period(line.scope, since_ms, period.end_ms), max(0, cap_nano_usd - before_nano_usd), line.terms.shadow
    )
    return Account(line.whose, line.name, budget, cap_nano_usd, before_nano_usd, period.end_ms, line.terms.shadow)


def model_lines(line: Line) -> list[tuple[str, Line]]:
    """By model group, those of single models, of a key or a team."""
    return [(terms.model, _model_line(line, terms)) for terms in line.terms.model_terms if line.whose in _OF_MODEL]


def _model_line(line: Line, terms: ModelTerms) -> Line:
    """Of a model, as called by a key or a team."""
    whose = _OF_MODEL[line.whose]
    own = Terms(
        max_budget_nano_usd=terms.max_budget_nano_usd,
        budget_duration=terms.budget_duration,
        rpm_limit=terms.rpm_limit,
        tpm_limit=terms.tpm_limit,
        shadow=line.terms.shadow,
    )
    owner = line.scope.partition(":")[2]
    scope = f"{whose.value}:{owner}/{scope_of(whose, terms.model).partition(':')[2]}"
    return Line(whose, f"{line.name}:{terms.model}", scope, own)


def _found_or_default(found: Owner | None, kind: Kind, owner_id: str, default: Terms) -> Owner | None:
    """Of whom only the name is known is an owner all the same where those of its kind have default terms."""
    return Owner(kind, owner_id) if found is None and owner_id and default != NONE else found
