"""Streams: progress, resumption and reconnect policy, without I/O; both clients share it."""
