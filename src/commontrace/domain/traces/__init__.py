"""Traces: contribution, content hash, filter."""
