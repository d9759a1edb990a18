"""Streams: the messages of searches, imports, exports and watches."""
