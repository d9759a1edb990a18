"""Serving: puts a server together, starts it and stops it."""
