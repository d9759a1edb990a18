"""Channel arguments of the gRPC server: limits of messages, streams and metadata, keepalive, connection age."""

from commontrace.domain import limits

OPTIONS = [
    # Twice the limit of a request, so that larger ones are refused with a reason (ADR 0003). Holds for decompressed
    # messages, too.
    ("grpc.max_receive_message_length", limits.RECEIVED_BYTES),
    # Without probes, flow-control windows stay at 64 KiB: a larger one holds more unread bytes in memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_send_message_length", 2 * limits.RESPONSE_BYTES),
    # Without a limit, a connection that opens and resets streams starves the others.
    ("grpc.max_concurrent_streams", 100),
    # By default, gRPC cancels some calls at random from 1000 pending ones on. Admission control refuses with a reason.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    # Twice the limit of metadata, for the same reason. Between a soft and a hard limit, gRPC would refuse at random.
    ("grpc.max_metadata_size", limits.RECEIVED_CALL_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", limits.RECEIVED_CALL_METADATA_BYTES),
    ("grpc.server_handshake_timeout_ms", 5000),
    # Clients reconnect by themselves; callers that only hold connections lose them.
    ("grpc.max_connection_idle_ms", 300_000),
    # By default, a dead peer is noticed after two hours, and clients that ping more often than every five minutes are
    # disconnected.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    # New calls move to a new connection, and so to a new certificate (ADR 0028). No grace is set: it would end calls in
    # progress, and streams may last for days.
    ("grpc.max_connection_age_ms", 900_000),
]
