"""What no member of a key or an owner can be, told in the words of LiteLLM's paths. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from gateway.v1 import keystore_pb2

from keystore.policy.limits import MAX_LIMIT
from services import durations
from services.errors import GatewayError, Reason
from services.money import MAX_BUDGET_NANO_USD

# Keys and owners are held in memory by every keystore; these keep one from taking more than its share.
MAX_MODELS = 1_000
MAX_NAMES = 100
MAX_MODEL_TERMS = 100
MAX_BUDGET_LIMITS = 20
MAX_TEXT_CHARACTERS = 512
MAX_DOCUMENT_BYTES = 64 * 1024
SPARE_LEVELS = 50
# The last moment that everything can tell of: the year 9999.
MAX_MILLIS = 253_402_300_799_000

_LIMITS = ("rpm_limit", "tpm_limit", "max_parallel_requests")


def invalid(message: str, param: str) -> GatewayError:
    """What was asked for cannot be."""
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def is_short(text: str) -> bool:
    """Whether it can be kept; PostgreSQL knows no null character."""
    return len(text) <= MAX_TEXT_CHARACTERS and "\0" not in text


def check_texts(texts: Mapping[str, str]) -> None:
    """INVALID_REQUEST names the first that is too long."""
    for param, text in texts.items():
        if not is_short(text):
            raise invalid(f"{param} is longer than {MAX_TEXT_CHARACTERS} characters, or has a null in it.", param)


def check_names(names: Collection[str], param: str, most: int = MAX_NAMES) -> None:
    """INVALID_REQUEST when these are too many, or one of them is too long."""
    if len(names) > most or not all(map(is_short, names)):
        raise invalid(f"{param} holds more than {most} names, or one that is too long.", param)


def check_aliases(aliases: Mapping[str, str], param: str) -> None:
    """The same of names that stand for others."""
    check_names(aliases.keys(), param)
    check_names(aliases.values(), param)


def check_document(text: str, param: str) -> None:
    """INVALID_REQUEST when it is no JSON object, or too large a one."""
    if text and not _is_object(text):
        raise invalid(f"{param} must be a JSON object of at most {MAX_DOCUMENT_BYTES} bytes.", param)


def check_duration(text: str, param: str) -> None:
    """INVALID_REQUEST when it is none; nothing at all may be."""
    if text:
        try:
            durations.parse(text)
        except ValueError as error:
            raise invalid(f"{param}: {error}.", param) from None


def check_terms(terms: keystore_pb2.Terms) -> None:
    """INVALID_REQUEST names the first member of them that nobody can have."""
    check_names(terms.models, "models", MAX_MODELS)
    _check_money(terms.max_budget_nano_usd, "max_budget")
    _check_money(terms.soft_budget_nano_usd, "soft_budget")
    check_duration(terms.budget_duration, "budget_duration")
    _check_money(terms.budget_increase_nano_usd, "temp_budget_increase")
    _check_money(terms.max_budget_nano_usd + terms.budget_increase_nano_usd, "temp_budget_increase")
    if not 0 <= terms.budget_increase_until_ms <= MAX_MILLIS:
        raise invalid("temp_budget_expiry must be a time before the year 10000.", "temp_budget_expiry")
    for name in _LIMITS:
        _check_limit(getattr(terms, name), name)
    if len(terms.budget_limits) > MAX_BUDGET_LIMITS:
        raise invalid(f"There are more than {MAX_BUDGET_LIMITS} budget_limits.", "budget_limits")
    for window in terms.budget_limits:
        _check_money(window.max_budget_nano_usd, "budget_limits")
        check_duration(window.budget_duration, "budget_limits")
    if len(terms.model_terms) > MAX_MODEL_TERMS:
        raise invalid(f"More than {MAX_MODEL_TERMS} models have limits of their own.", "model_max_budget")
    if len({each.model for each in terms.model_terms}) != len(terms.model_terms):
        raise invalid("A model has its own limits twice.", "model_max_budget")
    for each in terms.model_terms:
        if not each.model or not is_short(each.model):
            raise invalid("A model with limits of its own has no name, or one that is too long.", "model_max_budget")
        _check_money(each.max_budget_nano_usd, "model_max_budget")
        check_duration(each.budget_duration, "model_max_budget")
        _check_limit(each.rpm_limit, "model_rpm_limit")
        _check_limit(each.tpm_limit, "model_tpm_limit")
    check_texts({"budget_id": terms.budget_id})


def _check_money(nano_usd: int, param: str) -> None:
    if not 0 <= nano_usd <= MAX_BUDGET_NANO_USD:
        raise invalid(f"{param} must be between 0 and 9000000 US dollars.", param)


def _check_limit(limit: int, param: str) -> None:
    if not 0 <= limit <= MAX_LIMIT:
        raise invalid(f"{param} must be between 0 and {MAX_LIMIT}.", param)


def _is_object(text: str) -> bool:
    if len(text.encode()) > MAX_DOCUMENT_BYTES:
        return False
    try:
        # Whoever reads or writes it later may be so much deeper in calls, and the parser's depth counts them.
        json.loads(f"{'[' * SPARE_LEVELS}{text}{']' * SPARE_LEVELS}")
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
