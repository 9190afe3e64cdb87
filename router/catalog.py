"""What this router can call: model groups, and the deployments behind each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.v1 import common_pb2

from services.money import Rates


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`, ready to be called.

    group: the model group it serves. provider: names the row of `providers/provider.py`. provider_model: what the
    provider calls the model. api_base: without a trailing slash. api_key: empty when the provider wants none.
    rates settle a call, ceiling_rates size its hold; both are zero when `unpriced`. max_*_tokens: 0 when unknown.
    mock_response: answer this instead of calling anybody. timeout_seconds: of an attempt; stream_timeout_seconds: of a
    streamed one. defaults: members of the body for callers that do not give them; extra_body: members that override
    theirs; both hold plain JSON values. weight, rpm, tpm: for `routing/shuffle.py`.
    """

    id: str
    group: str
    provider: str
    provider_model: str
    api_base: str
    api_key: str = field(default="", repr=False)
    rates: Rates = Rates()
    ceiling_rates: Rates = Rates()
    unpriced: bool = False
    max_output_tokens: int = 0
    max_input_tokens: int = 0
    mock_response: str | None = None
    timeout_seconds: float = 600.0
    stream_timeout_seconds: float = 600.0
    defaults: Mapping[str, object] = field(default_factory=dict)
    # Both may carry credentials.
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, object] = field(default_factory=dict, repr=False)
    operation: common_pb2.Operation = common_pb2.OPERATION_CHAT_COMPLETIONS
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All model groups by name, each with at least one deployment. `left_out` says what cannot be served, and why."""

    groups: Mapping[str, tuple[Deployment, ...]]
    left_out: tuple[str, ...] = ()

    def to_proto(self) -> common_pb2.Catalog:
        """The catalog as edges and keystores see it."""
        return common_pb2.Catalog(models=[_model(name, group) for name, group in self.groups.items()])


def _model(name: str, group: tuple[Deployment, ...]) -> common_pb2.CatalogModel:
    """A group at its dearest, so that a hold sized from it pays for any of its deployments."""
    rates = [deployment.ceiling_rates for deployment in group]
    return common_pb2.CatalogModel(
        name=name,
        operation=group[0].operation,
        input_nano_usd_per_mtok=max(max(each.input, each.cache_read, each.cache_write) for each in rates),
        output_nano_usd_per_mtok=max(each.output for each in rates),
        request_nano_usd=max(each.request for each in rates),
        max_output_tokens=_largest_known(deployment.max_output_tokens for deployment in group),
        max_input_tokens=_largest_known(deployment.max_input_tokens for deployment in group),
        unpriced=any(deployment.unpriced for deployment in group),
    )


def _largest_known(limits: Iterable[int]) -> int:
    """The largest limit; 0, unknown, as soon as one of them is: it could be larger than all the others."""
    known = tuple(limits)
    return max(known) if all(known) else 0
