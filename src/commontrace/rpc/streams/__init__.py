"""Streams: long answers and long requests, message by message."""
