"""Encoding: texts into vectors, at once or by the queue; re-encoding with another model."""
