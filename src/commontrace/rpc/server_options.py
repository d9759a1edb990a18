"""What gRPC is told about connections, messages and peers."""

from commontrace.domain import limits

OPTIONS = [
    # Requests up to twice the limit get in, to be refused with a reason (ADR 0003); it bounds decompressed ones, too.
    ("grpc.max_receive_message_length", limits.RECEIVED_BYTES),
    # Windows stay at 64 KiB: they grow with what arrives, and what nobody reads yet stays in memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_send_message_length", 2 * limits.RESPONSE_BYTES),
    # Without a bound, one connection that opens and resets streams starves the others.
    ("grpc.max_concurrent_streams", 100),
    # From 1000 requests on that wait to be begun, gRPC would cancel some at random: we refuse them, with a reason.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    # The same with metadata. Between two different values, gRPC would refuse some of the calls, by chance.
    ("grpc.max_metadata_size", limits.RECEIVED_CALL_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", limits.RECEIVED_CALL_METADATA_BYTES),
    ("grpc.server_handshake_timeout_ms", 5000),
    # Clients connect again by themselves; who only wants to hold a connection has to come back for it.
    ("grpc.max_connection_idle_ms", 300_000),
    # The defaults notice a dead peer after two hours and punish clients that ping more often than every five minutes.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    # New calls move to a new connection, and with it to a new certificate. Without a grace, which would end calls in
    # progress: streams go on where they are, however long they last.
    ("grpc.max_connection_age_ms", 900_000),
]
