"""What gRPC is told about connections, messages and peers."""

from commontrace.core import limits

OPTIONS = [
    # Requests up to four times the limit get in, so that they can be refused with a reason.
    ("grpc.max_receive_message_length", 4 * limits.REQUEST_BYTES),
    ("grpc.max_send_message_length", 2 * limits.RESPONSE_BYTES),
    # Without a bound, one connection that opens and resets streams starves the others.
    ("grpc.max_concurrent_streams", 100),
    # From 1000 requests on that wait to be begun, gRPC would cancel some at random: we refuse them, with a reason.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16384),
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
