"""Reads one mapping of the configuration member by member: typed, with errors that name file, line and key.

`os.environ/NAME` in a text stands for that variable; a text that names a variable which is not set counts as absent.
Errors show what the file says, so never a variable's value, and of secrets not even that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.yamltext import ConfigError, Document, Place, Value

_VARIABLE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")

# A mistaken text longer than this is described, not shown: it could be a key in the wrong place.
_SHOWN_CHARACTERS = 20

_BOOLEANS = {"true": True, "false": False}


class Section:
    """A mapping of a file, or of several files merged. Variables are looked up when a member is read."""

    def __init__(self, document: Document, key: str, value: Value, environ: Mapping[str, str]) -> None:
        """`value`: the mapping at `key`; None counts as empty, anything else is a ConfigError."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigError(document.place(key), f"expected a mapping, found {_described(value)}")
        self._document = document
        self._key = key
        self._members = value
        self._environ = environ
        # Where each member was written.
        self._homes = dict.fromkeys(value, document)

    @classmethod
    def merged(cls, sections: Sequence[Section]) -> Section:
        """The same mapping of several files, at least one, as one: of a member that is given twice the later wins."""
        first = sections[0]
        whole = cls(first._document, first._key, {}, first._environ)
        for section in sections:
            whole._members |= section._members
            whole._homes |= section._homes
        return whole

    @property
    def place(self) -> Place:
        """Where the mapping stands."""
        return self._document.place(self._key)

    @property
    def raw(self) -> dict[str, Value]:
        """The mapping as it is written, variables by their names."""
        return self._members

    def place_of(self, name: str) -> Place:
        """Where a member stands, or would stand."""
        return self._home(name).place(f"{self._key}.{name}" if self._key else name)

    def section(self, name: str) -> Section:
        """A member that is a mapping; empty when absent."""
        return Section(self._home(name), self.place_of(name).key, self._take(name), self._environ)

    def sections(self, name: str) -> list[Section]:
        """A member that is a list of mappings; empty when absent."""
        items = self._take(name)
        if items is None:
            return []
        if not isinstance(items, list):
            raise self._expected("a list", name)
        key = self.place_of(name).key
        home = self._home(name)
        return [Section(home, f"{key}[{index}]", item, self._environ) for index, item in enumerate(items)]

    def text(self, name: str) -> str | None:
        """A member that is a text; None when absent or empty."""
        value = self._take(name)
        if value is not None and not isinstance(value, str):
            raise self._expected("a text in quotes", name)
        resolved = resolve(value, self._environ)
        return resolved if isinstance(resolved, str) and resolved else None

    def secret(self, name: str) -> str | None:
        """A text that no error may show."""
        if not isinstance(self._members.get(name), str | None):
            raise ConfigError(self.place_of(name), "expected a text in quotes")
        return self.text(name)

    def required_text(self, name: str) -> str:
        """A member that must be there and not empty."""
        value = self.text(name)
        if value is None:
            raise ConfigError(self.place_of(name), "is missing, or names a variable that is not set")
        return value

    def number(self, name: str, *, lowest: Decimal | int, highest: Decimal | int) -> Decimal | None:
        """A member that is a number, or a text that reads as one; None when absent."""
        return self._numeric(name, "a number", lowest, highest)

    def integer(self, name: str, *, lowest: int, highest: int) -> int | None:
        """A member that is a whole number, or a text that reads as one; None when absent."""
        number = self._numeric(name, "a whole number", lowest, highest)
        if number is None:
            return None
        if number != number.to_integral_value():
            raise self._expected("a whole number", name)
        return int(number)

    def boolean(self, name: str) -> bool | None:
        """A member that is true or false, or a text that says so; None when absent."""
        value = resolve(self._take(name), self._environ)
        if isinstance(value, str):
            value = _BOOLEANS.get(value.lower(), value or None)
        if value is not None and not isinstance(value, bool):
            raise self._expected("true or false", name)
        return value

    def names(self, name: str) -> tuple[str, ...] | None:
        """A member that is a list of texts, or one text; None when absent.

        Left out are texts that are empty or name a variable which is not set.
        """
        value = self._take(name)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | None) for item in items):
            raise self._expected("a text in quotes, or a list of them", name)
        return tuple(text for item in items if isinstance(text := resolve(item, self._environ), str) and text)

    def scalar(self, name: str) -> str | None:
        """A member that is a text or a number, as a text; None when absent, or when its variable is not set."""
        value = resolve(self._take(name), self._environ)
        if isinstance(value, list | dict):
            raise ConfigError(self.place_of(name), f"expected a text, found {_described(value)}")
        return None if value is None else str(value)

    def texts(self, name: str) -> dict[str, str]:
        """A member that maps names to texts or numbers. Those whose variable is not set are left out."""
        members = self.section(name)
        return {key: text for key in members.raw if (text := members.scalar(key)) is not None}

    def json(self, name: str) -> object:
        """A member as it goes into a JSON body: numbers written like floats are floats."""
        return _json(resolve(self._take(name), self._environ), self.place_of(name))

    def json_mapping(self, name: str) -> dict[str, object]:
        """The same, of a member that is a mapping; empty when absent."""
        members = self.section(name)
        return {key: members.json(key) for key in members.raw}

    def _take(self, name: str) -> Value:
        """What every reader of a member begins with."""
        return self._members.get(name)

    def _home(self, name: str) -> Document:
        return self._homes.get(name, self._document)

    def _numeric(self, name: str, kind: str, lowest: Decimal | int, highest: Decimal | int) -> Decimal | None:
        value = resolve(self._take(name), self._environ)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
            raise self._expected(kind, name)
        try:
            number = Decimal(value)
        except ArithmeticError as error:
            raise self._expected(kind, name) from error
        if not (number.is_finite() and lowest <= number <= highest):
            raise self._expected(f"{kind} between {lowest} and {highest}", name)
        return number

    def _expected(self, what: str, name: str) -> ConfigError:
        return ConfigError(self.place_of(name), f"expected {what}, found {_described(self._members.get(name))}")


def resolve(value: Value, environ: Mapping[str, str]) -> Value:
    """The value with its variables filled in; a text that names a variable which is not set becomes None."""
    if isinstance(value, list):
        return [resolve(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: resolve(item, environ) for key, item in value.items()}
    if not isinstance(value, str) or any(name not in environ for name in _VARIABLE.findall(value)):
        return None if isinstance(value, str) else value
    return _VARIABLE.sub(lambda match: environ[match[1]], value)


def _json(value: Value, place: Place) -> object:
    """Decimals, which only money needs, become floats; so a provider sees 0.7 where the file says 0.7."""
    if isinstance(value, list):
        return [_json(item, place) for item in value]
    if isinstance(value, dict):
        return {key: _json(item, place) for key, item in value.items()}
    if not isinstance(value, Decimal):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ConfigError(place, "holds a number too large for JSON")
    return number


def _described(value: Value) -> str:
    """A value for an error message."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"something of {len(shown)} characters"
