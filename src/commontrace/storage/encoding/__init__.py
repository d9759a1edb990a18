"""Encoding queue, recorded models, re-encoding."""
