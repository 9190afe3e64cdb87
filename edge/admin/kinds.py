"""What stands in columns: texts, counts, amounts, durations, lists, LiteLLM's mappings from models to limits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from edge.admin.columns import Kind
from edge.admin.times import EPOCH, iso
from edge.admin.words import invalid
from services.durations import parse
from services.money import MAX_BUDGET_NANO_USD, nano_from_usd, usd_from_nano, usd_text

# A key or an owner has no more of anything in a list.
MAX_ITEMS = 1_000


class _Window(msgspec.Struct):
    budget_duration: str
    max_budget: int | float


class _ModelBudget(msgspec.Struct):
    """LiteLLM has two ways to write it: of keys the first two, of budgets the others."""

    budget_limit: int | float | None = None
    time_period: str | None = None
    max_budget: int | float | None = None
    budget_duration: str | None = None


def budget_of(usd: object, name: str = "max_budget") -> int:
    """Dollars of a JSON number in nano-USD, by its shortest decimal text: 0.1 is exactly 0.1."""
    try:
        nano_usd = nano_from_usd(Decimal(repr(usd)))
    except (ValueError, ArithmeticError):
        nano_usd = -1
    if not 0 <= nano_usd <= MAX_BUDGET_NANO_USD:
        raise invalid(f"{name} must be an amount of US dollars, from 0 to {usd_text(MAX_BUDGET_NANO_USD)}.", name)
    return nano_usd


def whole_number(number: int, name: str) -> int:
    """A number that a message can carry; the keystore says what it may be."""
    if not 0 <= number < 1 << 63:
        raise invalid(f"{name} must not be below 0.", name)
    return number


def period(text: str, name: str) -> str:
    """A duration that a budget may be for."""
    try:
        parse(text)
    except ValueError as error:
        raise invalid(f"{name}: {error}.", name) from None
    return text.strip()


def _put(convert: Callable[[Any, str], Any]) -> Callable[[Any, str, Any, str], None]:
    def put(part: Any, member: str, value: Any, name: str) -> None:
        if value is not None:
            setattr(part, member, convert(value, name))

    return put


def _as_it_is(value: Any, _: str) -> Any:
    return value


def _of(part: Any, member: str) -> Any:
    return getattr(part, member) if part.HasField(member) else None


def _put_list(part: Any, member: str, value: list[Any] | None, name: str) -> None:
    if len(value or ()) > MAX_ITEMS:
        raise invalid(f"{name} has more than {MAX_ITEMS} elements.", name)
    getattr(part, member).extend(value or ())


def _put_map(part: Any, member: str, value: dict[str, str] | None, name: str) -> None:
    if len(value or ()) > MAX_ITEMS:
        raise invalid(f"{name} has more than {MAX_ITEMS} members.", name)
    getattr(part, member).update(value or {})


def _put_windows(part: Any, member: str, value: list[_Window] | None, name: str) -> None:
    if len(value or ()) > MAX_ITEMS:
        raise invalid(f"{name} has more than {MAX_ITEMS} elements.", name)
    for window in value or ():
        getattr(part, member).add(
            max_budget_nano_usd=budget_of(window.max_budget, name), budget_duration=period(window.budget_duration, name)
        )


def _show_windows(part: Any, member: str) -> object:
    windows = [
        {"budget_duration": window.budget_duration, "max_budget": usd_from_nano(window.max_budget_nano_usd)}
        for window in getattr(part, member)
    ]
    return windows or None


def _put_moment(part: Any, member: str, value: datetime | None, _: str) -> None:
    if value is not None:
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        setattr(part, member, max(0, int((moment - EPOCH).total_seconds() * 1000)))


def _terms_of(part: Any, model: str) -> Any:
    found = next((terms for terms in part.model_terms if terms.model == model), None)
    return part.model_terms.add(model=model) if found is None else found


def _per_model(clear: tuple[str, ...], put: Callable[[Any, Any, str], None]) -> Callable[[Any, str, Any, str], None]:
    """One of several columns of the same list: it replaces its own part of every element."""

    def put_all(part: Any, _: str, value: dict[str, Any] | None, name: str) -> None:
        if len(value or ()) > MAX_ITEMS:
            raise invalid(f"{name} has more than {MAX_ITEMS} members.", name)
        for terms in part.model_terms:
            for member in clear:
                terms.ClearField(member)
        for model, each in (value or {}).items():
            put(_terms_of(part, model), each, name)
        kept = [terms for terms in part.model_terms if len(terms.ListFields()) > 1]
        copies = [type(terms).FromString(terms.SerializeToString()) for terms in kept]
        del part.model_terms[:]
        part.model_terms.extend(copies)

    return put_all


def _put_model_budget(terms: Any, budget: _ModelBudget, name: str) -> None:
    amount = budget.max_budget if budget.budget_limit is None else budget.budget_limit
    if amount is None:
        raise invalid(f"{name}: a model needs a budget_limit.", name)
    terms.max_budget_nano_usd = budget_of(amount, name)
    if duration := budget.time_period or budget.budget_duration:
        terms.budget_duration = period(duration, name)


def _show_model_budgets(part: Any, _: str) -> object:
    return {
        terms.model: {
            "budget_limit": usd_from_nano(terms.max_budget_nano_usd),
            "time_period": terms.budget_duration or None,
        }
        for terms in _with(part, "max_budget_nano_usd")
    }


def _with(part: Any, member: str) -> Iterator[Any]:
    return (terms for terms in part.model_terms if terms.HasField(member))


def _model_limit(member: str) -> Kind:
    def put(terms: Any, value: int, name: str) -> None:
        setattr(terms, member, whole_number(value, name))

    def show(part: Any, _: str) -> object:
        return {terms.model: getattr(terms, member) for terms in _with(part, member)} or None

    return Kind(dict[str, int], _per_model((member,), put), show)


TEXT = Kind(str, _put(_as_it_is), lambda part, member: getattr(part, member) or None)
FLAG = Kind(bool, _put(_as_it_is), getattr)
OPTIONAL_FLAG = Kind(bool, _put(_as_it_is), _of)
COUNT = Kind(int, _put(whole_number), _of)
USD = Kind(
    int | float,
    _put(budget_of),
    lambda part, member: usd_from_nano(getattr(part, member)) if part.HasField(member) else None,
)
INCREASE = Kind(
    int | float,
    _put(budget_of),
    lambda part, member: usd_from_nano(getattr(part, member)) if getattr(part, member) else None,
)
MOMENT = Kind(datetime, _put_moment, lambda part, member: iso(getattr(part, member)))
DURATION = Kind(str, _put(period), lambda part, member: getattr(part, member) or None)
NAMES = Kind(list[str], _put_list, lambda part, member: list(getattr(part, member)))
MAPPING = Kind(dict[str, str], _put_map, lambda part, member: dict(getattr(part, member)))
OBJECT = Kind(
    dict[str, Any],
    _put(lambda value, _: msgspec.json.encode(value).decode()),
    lambda part, member: msgspec.json.decode(text) if (text := getattr(part, member)) else {},
)
WINDOWS = Kind(list[_Window], _put_windows, _show_windows)
MODEL_BUDGETS = Kind(
    dict[str, _ModelBudget],
    _per_model(("max_budget_nano_usd", "budget_duration"), _put_model_budget),
    _show_model_budgets,
)
MODEL_RPM = _model_limit("rpm_limit")
MODEL_TPM = _model_limit("tpm_limit")
