"""Encoding: texts into vectors, now or by the queue; re-encoding with another model."""
