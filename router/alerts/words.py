"""What is told, in words and for webhooks: names of groups and models, nothing that a caller has written. Pure."""

from __future__ import annotations

import msgspec
from gateway.v1 import errors_pb2, ledger_pb2
from gateway.v1.ledger_pb2 import Alert

from router.alerts.outages import News
from router.catalog import Deployment
from services.alerting import DEPLOYMENT_OUT, GROUP_OUT, HANGING, LEDGER_LAG, SLOW
from services.errors import GatewayError
from services.ids import to_text

# The same is told again only after so long, over all routers.
QUIET_SECONDS = 900
# That something is over is told each time, by one router.
OVER_QUIET_SECONDS = 60
_MAX_NAME_CHARS = 100


def slow_alert(entry: ledger_pb2.Entry, threshold_seconds: float) -> Alert:
    """A call has taken too long."""
    group, seconds = _shown(entry.model_group), entry.duration_ms / 1000
    request_id = to_text(entry.dispatch_id)
    model = _shown(f"{entry.provider}/{entry.provider_model}") if entry.provider else "no deployment"
    status = ledger_pb2.EntryStatus.Name(entry.status).removeprefix("ENTRY_STATUS_").lower()
    first = f" First content after {entry.first_token_ms / 1000:.1f} s." if entry.first_token_ms else ""
    return _alert(
        f"slow:{entry.model_group}",
        SLOW,
        f"Slow: a call of {group} took {seconds:.1f} s",
        f"More than {threshold_seconds:g} s. By {model}, {len(entry.attempts)} attempts, {status}.{first}\n"
        f"Request {request_id}.",
        {"event": "slow_request", "model_group": group, "model": model, "seconds": seconds, "request_id": request_id},
    )


def hanging_alert(group: str, calls: int, oldest: bytes, threshold_seconds: float) -> Alert:
    """Calls have had nothing of an answer for too long."""
    name, request_id = _shown(group), to_text(oldest)
    many = "1 call" if calls == 1 else f"{calls} calls"
    return _alert(
        f"hanging:{group}",
        HANGING,
        f"Hanging: {many} of {name} without an answer after {threshold_seconds:g} s",
        f"The oldest is request {request_id}.",
        {"event": "hanging_requests", "model_group": name, "calls": calls, "request_id": request_id},
    )


def outage_alert(news: News, deployment: Deployment, error: GatewayError | None = None) -> Alert:
    """A deployment or a group is out, or back. error: of the last call."""
    group = _shown(deployment.group)
    model = _shown(f"{deployment.provider}/{deployment.provider_model}")
    why = ""
    if error is not None:
        reason = errors_pb2.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_").lower().replace("_", " ")
        why = f"Its last error: {reason}" + (f", status {error.provider_status}." if error.provider_status else ".")
    of_group = news in (News.GROUP_OUT, News.GROUP_BACK)
    is_out = news in (News.GROUP_OUT, News.DEPLOYMENT_OUT)
    subject = f"model group {group}" if of_group else f"deployment {model} of {group}"
    what = "is out" if is_out else "answers again"
    event: dict[str, object] = {"event": news.value.replace(" ", "_"), "model_group": group}
    if not of_group:
        event |= {"deployment_id": deployment.id, "model": model}
    text = f"{'All of its deployments fail' if of_group else 'It fails again and again'}. {why}" if is_out else ""
    return _alert(
        f"{news.value}:{deployment.group if of_group else deployment.id}",
        GROUP_OUT if of_group else DEPLOYMENT_OUT,
        f"{subject[0].upper()}{subject[1:]} {what}",
        text.strip() or "It was out.",
        event,
        QUIET_SECONDS if is_out else OVER_QUIET_SECONDS,
    )


def lag_alert(seconds: float, entries: int) -> Alert:
    """Entries wait for the ledger."""
    return _alert(
        "ledger_lag",
        LEDGER_LAG,
        f"The ledger lags: entries have waited for {seconds:.0f} s",
        f"{entries} entries wait in the outbox of a router. Calls go on, and nothing is lost; spend is not up to date.",
        {"event": "ledger_lag", "seconds": seconds, "entries": entries},
    )


def lag_over_alert() -> Alert:
    """They have arrived."""
    return _alert(
        "ledger_lag_over",
        LEDGER_LAG,
        "The ledger has caught up",
        "No entry of the router that had told of it waits any more.",
        {"event": "ledger_lag_over"},
        OVER_QUIET_SECONDS,
    )


def _alert(
    key: str, alert_type: str, title: str, text: str, event: dict[str, object], quiet_seconds: int = QUIET_SECONDS
) -> Alert:
    event_json = msgspec.json.encode({"event_group": "proxy", **event}).decode()
    return Alert(
        key=key[:500], type=alert_type, title=title, text=text, event_json=event_json, quiet_seconds=quiet_seconds
    )


def _shown(name: str) -> str:
    return " ".join(name[:_MAX_NAME_CHARS].split())
