"""State of streams without I/O: progress, resumption, reconnect policy. Both clients share it."""
