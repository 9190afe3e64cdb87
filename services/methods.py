"""Every RPC of `protos/`, typed: what the transports and their users name a method by.

`tests/unit/services/test_methods.py` holds this table to the protos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.v1 import keystore_pb2 as k
from gateway.v1 import ledger_pb2 as led
from gateway.v1 import router_pb2 as r
from google.protobuf.message import Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Up = TypeVar("Up", bound=Message)
Down = TypeVar("Down", bound=Message)


@dataclass(frozen=True, slots=True)
class Unary(Generic[Request, Response]):
    """One request, one response."""

    path: str
    request: type[Request]
    response: type[Response]
    # It changes nothing, so that it may be asked twice.
    reads: bool = False


@dataclass(frozen=True, slots=True)
class Exchange(Generic[Up, Down]):
    """A link: frames of type `up` from the client, of type `down` from the server, in batches."""

    path: str
    up: type[Up]
    down: type[Down]
    # The messages that carry them: one repeated field, `frames`, whose number is 1 (`backlog.py`).
    up_batch: Any
    down_batch: Any


INFERENCE = Exchange("/gateway.v1.Inference/Exchange", r.EdgeFrame, r.RouterFrame, r.EdgeBatch, r.RouterBatch)
CHECK_HEALTH = Unary("/gateway.v1.Inference/CheckHealth", r.CheckHealthRequest, r.CheckHealthResponse)
PRICE_USAGES = Unary("/gateway.v1.Inference/PriceUsages", r.PriceUsagesRequest, r.PriceUsagesResponse, reads=True)
ESTIMATE_COST = Unary("/gateway.v1.Inference/EstimateCost", r.EstimateCostRequest, r.EstimateCostResponse, reads=True)

ADMISSION = Exchange(
    "/gateway.v1.Admission/Exchange",
    k.AdmissionFrame,
    k.AdmissionReplyFrame,
    k.AdmissionBatch,
    k.AdmissionReplyBatch,
)
CREATE_KEY = Unary("/gateway.v1.Keys/CreateKey", k.CreateKeyRequest, k.CreateKeyResponse)
GET_KEY = Unary("/gateway.v1.Keys/GetKey", k.GetKeyRequest, k.GetKeyResponse, reads=True)
LIST_KEYS = Unary("/gateway.v1.Keys/ListKeys", k.ListKeysRequest, k.ListKeysResponse, reads=True)
UPDATE_KEY = Unary("/gateway.v1.Keys/UpdateKey", k.UpdateKeyRequest, k.UpdateKeyResponse)
REGENERATE_KEY = Unary("/gateway.v1.Keys/RegenerateKey", k.RegenerateKeyRequest, k.RegenerateKeyResponse)
SET_KEY_BLOCKED = Unary("/gateway.v1.Keys/SetKeyBlocked", k.SetKeyBlockedRequest, k.SetKeyBlockedResponse)
DELETE_KEYS = Unary("/gateway.v1.Keys/DeleteKeys", k.DeleteKeysRequest, k.DeleteKeysResponse)
RESET_SPEND = Unary("/gateway.v1.Keys/ResetSpend", k.ResetSpendRequest, k.ResetSpendResponse)
IDENTIFY = Unary("/gateway.v1.Keys/Identify", k.IdentifyRequest, k.IdentifyResponse, reads=True)
NEXT_SECRET = Unary("/gateway.v1.Keys/NextSecret", k.NextSecretRequest, k.NextSecretResponse, reads=True)
GET_GATEWAY_BUDGET = Unary(
    "/gateway.v1.Keys/GetGatewayBudget", k.GetGatewayBudgetRequest, k.GetGatewayBudgetResponse, reads=True
)
CREATE_OWNER = Unary("/gateway.v1.Owners/CreateOwner", k.CreateOwnerRequest, k.CreateOwnerResponse)
GET_OWNERS = Unary("/gateway.v1.Owners/GetOwners", k.GetOwnersRequest, k.GetOwnersResponse, reads=True)
LIST_OWNERS = Unary("/gateway.v1.Owners/ListOwners", k.ListOwnersRequest, k.ListOwnersResponse, reads=True)
UPDATE_OWNER = Unary("/gateway.v1.Owners/UpdateOwner", k.UpdateOwnerRequest, k.UpdateOwnerResponse)
DELETE_OWNERS = Unary("/gateway.v1.Owners/DeleteOwners", k.DeleteOwnersRequest, k.DeleteOwnersResponse)
LIST_CHANGES = Unary("/gateway.v1.Owners/ListChanges", k.ListChangesRequest, k.ListChangesResponse, reads=True)

RECORD = Exchange("/gateway.v1.Ledger/Record", led.RecordFrame, led.StoredFrame, led.RecordBatch, led.StoredBatch)
SUM_SPEND = Unary("/gateway.v1.Ledger/SumSpend", led.SumSpendRequest, led.SumSpendResponse, reads=True)
LIST_ENTRIES = Unary("/gateway.v1.Ledger/ListEntries", led.ListEntriesRequest, led.ListEntriesResponse, reads=True)
QUERY_SPEND = Unary("/gateway.v1.Ledger/QuerySpend", led.QuerySpendRequest, led.QuerySpendResponse, reads=True)
EXPORT_ENTRIES = Unary(
    "/gateway.v1.Ledger/ExportEntries", led.ExportEntriesRequest, led.ExportEntriesResponse, reads=True
)
REPRICE = Unary("/gateway.v1.Ledger/Reprice", led.RepriceRequest, led.RepriceResponse)
NOTIFY = Unary("/gateway.v1.Ledger/Notify", led.NotifyRequest, led.NotifyResponse)
LIST_ALERTS = Unary("/gateway.v1.Ledger/ListAlerts", led.ListAlertsRequest, led.ListAlertsResponse, reads=True)

ALL: tuple[Unary[Any, Any] | Exchange[Any, Any], ...] = (
    INFERENCE,
    CHECK_HEALTH,
    ESTIMATE_COST,
    PRICE_USAGES,
    ADMISSION,
    CREATE_KEY,
    GET_KEY,
    LIST_KEYS,
    UPDATE_KEY,
    REGENERATE_KEY,
    SET_KEY_BLOCKED,
    DELETE_KEYS,
    RESET_SPEND,
    IDENTIFY,
    NEXT_SECRET,
    GET_GATEWAY_BUDGET,
    CREATE_OWNER,
    GET_OWNERS,
    LIST_OWNERS,
    UPDATE_OWNER,
    DELETE_OWNERS,
    LIST_CHANGES,
    RECORD,
    SUM_SPEND,
    LIST_ENTRIES,
    QUERY_SPEND,
    EXPORT_ENTRIES,
    REPRICE,
    NOTIFY,
    LIST_ALERTS,
)
