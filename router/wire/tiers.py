"""Service tiers, as providers say which one they have served."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.v1 import common_pb2

_TIERS: Mapping[str, common_pb2.ServiceTier] = {
    "flex": common_pb2.SERVICE_TIER_FLEX,
    "priority": common_pb2.SERVICE_TIER_PRIORITY,
    "fast": common_pb2.SERVICE_TIER_FAST,
    "batch": common_pb2.SERVICE_TIER_BATCH,
    # Vertex AI's `trafficType`.
    "ON_DEMAND_FLEX": common_pb2.SERVICE_TIER_FLEX,
    "ON_DEMAND_PRIORITY": common_pb2.SERVICE_TIER_PRIORITY,
}


def tier_of(said: object) -> common_pb2.ServiceTier:
    """What a provider calls its tier; any other word, and what is no word, is the usual one."""
    usual = common_pb2.SERVICE_TIER_UNSPECIFIED
    return _TIERS.get(said, usual) if isinstance(said, str) else usual
