"""What is told to operators, and over which channels: `alerting` of `general_settings` and what belongs to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services import durations
from services.section import Section
from services.yamltext import ConfigError

SLACK, WEBHOOK, EMAIL = "slack", "webhook", "email"
CHANNELS = (SLACK, WEBHOOK, EMAIL)

# LiteLLM's words for what is told, and ours.
BUDGETS = "budget_alerts"
SPEND_REPORTS = "spend_reports"
SLOW = "llm_too_slow"
HANGING = "llm_requests_hanging"
DEPLOYMENT_OUT = "cooldown_deployment"
GROUP_OUT = "outage_alerts"
LEDGER_LAG = "ledger_lag"
TYPES = frozenset((BUDGETS, SPEND_REPORTS, SLOW, HANGING, DEPLOYMENT_OUT, GROUP_OUT, LEDGER_LAG))

# LiteLLM's defaults.
THRESHOLD_SECONDS = 300.0
REPORT_FREQUENCY = "7d"
# Entries arrive within a second.
LEDGER_LAG_SECONDS = 120.0

_MOST_SECONDS = 86_400
_ARGS = ("ledger_lag_threshold", "email_to")
_SMTP_PORT = 587
_FALSE = ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Mail:
    """A server that takes mail, and whom it goes to. tls: STARTTLS, or TLS from the start on port 465."""

    host: str
    port: int
    sender: str
    receivers: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = True


@dataclass(frozen=True, slots=True)
class Alerting:
    """Where alerts go, and when something is one. slack_urls: by type, "" for all others; URLs hold secrets.

    left_out: what was asked for and cannot be done, a line each.
    """

    types: frozenset[str] = TYPES
    threshold_seconds: float = THRESHOLD_SECONDS
    report_frequency: str = REPORT_FREQUENCY
    ledger_lag_seconds: float = LEDGER_LAG_SECONDS
    slack_urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    webhook_url: str = field(default="", repr=False)
    mail: Mail | None = None
    left_out: tuple[str, ...] = ()

    def channels(self, alert_type: str) -> list[str]:
        """Those that tell of a type: `slack`, and `slack-2` where one type has several addresses."""
        urls = self.slack_urls.get(alert_type, self.slack_urls.get("", ()))
        names = [SLACK if number == 1 else f"{SLACK}-{number}" for number in range(1, len(urls) + 1)]
        names += [WEBHOOK] if self.webhook_url else []
        return names + ([EMAIL] if self.mail is not None else [])


def read_alerting(general: Section, environ: Mapping[str, str]) -> Alerting | None:
    """None where nothing is to be told. ConfigError where a member is not what it must be.

    A channel whose address is not in this process's environment is left out and named: only ledgers and routers need
    it, and all processes read the same file.
    """
    names = general.names("alerting") or ()
    threshold = general.number("alerting_threshold", lowest=1, highest=_MOST_SECONDS)
    frequency = _frequency(general)
    types = general.names("alert_types")
    urls = _urls_by_type(general)
    args = general.section("alerting_args")
    lag = args.number("ledger_lag_threshold", lowest=1, highest=_MOST_SECONDS) if args.raw else None
    receivers = args.names("email_to") if args.raw else None
    if not names:
        return None
    left_out = [f"alerting: there is no channel {name!r}" for name in names if name not in CHANNELS]
    left_out += [f"alert_types: nothing is told of {name!r}" for name in types or () if name not in TYPES]
    left_out += [f"alerting_args.{name} is not acted on" for name in args.raw if name not in _ARGS]
    slack: dict[str, tuple[str, ...]] = {}
    if SLACK in names:
        slack = dict(urls)
        if url := _variable_url(environ, ("SLACK_WEBHOOK_URL", "ALERTING_WEBHOOK_URL"), left_out):
            slack[""] = (url,)
    webhook = _variable_url(environ, ("WEBHOOK_URL",), left_out) if WEBHOOK in names else ""
    return Alerting(
        types=TYPES if types is None else TYPES & frozenset(types),
        threshold_seconds=THRESHOLD_SECONDS if threshold is None else float(threshold),
        report_frequency=frequency,
        ledger_lag_seconds=LEDGER_LAG_SECONDS if lag is None else float(lag),
        slack_urls=slack,
        webhook_url=webhook,
        mail=_mail(environ, receivers or (), left_out) if EMAIL in names else None,
        left_out=tuple(left_out),
    )


def _frequency(general: Section) -> str:
    name = "spend_report_frequency"
    text = general.text(name) or REPORT_FREQUENCY
    try:
        # Sums are kept by the hour.
        is_whole = durations.parse(text).unit in ("h", "d", "w", "mo")
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigError(general.place_of(name), "expected a number and one of h, d, w, mo, such as 7d")
    return text


def _urls_by_type(general: Section) -> Mapping[str, tuple[str, ...]]:
    by_type: dict[str, tuple[str, ...]] = {}
    section = general.section("alert_to_webhook_url")
    for name in section.raw:
        urls = section.names(name) or ()
        if not all(map(_is_url, urls)):
            raise ConfigError(section.place_of(name), "is no http or https address")
        if urls:
            by_type[name] = urls
    return by_type


def _variable_url(environ: Mapping[str, str], names: tuple[str, ...], left_out: list[str]) -> str:
    for name in names:
        if url := environ.get(name, ""):
            if _is_url(url):
                return url
            left_out.append(f"{name} is no http or https address")
            return ""
    left_out.append(f"{names[0]} is not set")
    return ""


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _mail(environ: Mapping[str, str], receivers: tuple[str, ...], left_out: list[str]) -> Mail | None:
    host, sender = environ.get("SMTP_HOST", ""), environ.get("SMTP_SENDER_EMAIL", "")
    port = environ.get("SMTP_PORT") or str(_SMTP_PORT)
    addresses = (sender, *receivers)
    if not host or not sender:
        left_out.append("email needs SMTP_HOST and SMTP_SENDER_EMAIL")
    elif not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        left_out.append("SMTP_PORT is no port")
    elif any(not address.isprintable() or "@" not in address for address in addresses):
        left_out.append("SMTP_SENDER_EMAIL or alerting_args.email_to holds what is no address")
    else:
        return Mail(
            host,
            int(port),
            sender,
            receivers or (sender,),
            environ.get("SMTP_USERNAME", ""),
            environ.get("SMTP_PASSWORD", ""),
            environ.get("SMTP_TLS", "").lower() not in _FALSE,
        )
    return None
