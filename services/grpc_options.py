"""How gRPC is set up on both sides: what counts as gone, how large a message may be, how soon a peer is found again."""

from __future__ import annotations

from services.link import MAX_BATCH_BYTES

# A peer that answers no ping for 5 s is gone; pings flow every 10 s, on idle links too.
_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without it a peer that stands still is noticed after 70 s (measured), not 15.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
_LIMITS = [
    # Twice the largest batch: what a link refuses never reaches gRPC, whose own refusal would end the stream.
    ("grpc.max_receive_message_length", 2 * MAX_BATCH_BYTES),
    ("grpc.max_send_message_length", 2 * MAX_BATCH_BYTES),
]
SERVER_OPTIONS = [
    *_KEEPALIVE,
    *_LIMITS,
    # Without it a second server on a taken port starts, and calls go to either.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
]
CHANNEL_OPTIONS = [
    *_KEEPALIVE,
    *_LIMITS,
    # A peer that comes back is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Also one that comes back at another address, as a container does: gRPC would ask for it every 30 s only.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]
