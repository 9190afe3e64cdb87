"""The table of RPCs holds what the protos hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateway.v1 import keystore_pb2, ledger_pb2, router_pb2

from services.methods import ALL, Exchange, Unary


def in_protos() -> Iterator[Any]:
    for module in (keystore_pb2, ledger_pb2, router_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


PROTO_METHODS = {f"/{method.containing_service.full_name}/{method.name}": method for method in in_protos()}


def test_every_rpc_of_the_protos_is_in_the_table_once() -> None:
    assert sorted(method.path for method in ALL) == sorted(PROTO_METHODS)


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.path)
def test_a_row_has_the_protos_types(method: Unary[Any, Any] | Exchange[Any, Any]) -> None:
    described = PROTO_METHODS[method.path]
    streams = (described.client_streaming, described.server_streaming)
    types = (described.input_type, described.output_type)
    if isinstance(method, Unary):
        assert streams == (False, False)
        assert types == (method.request.DESCRIPTOR, method.response.DESCRIPTOR)
    else:
        assert streams == (True, True)
        assert types == (method.up_batch.DESCRIPTOR, method.down_batch.DESCRIPTOR)
        frames = [each.fields_by_name["frames"] for each in types]
        assert [frame.message_type for frame in frames] == [method.up.DESCRIPTOR, method.down.DESCRIPTOR]
        assert all(frame.is_repeated and frame.number == 1 for frame in frames)
        assert all(len(each.fields) == 1 for each in types)
