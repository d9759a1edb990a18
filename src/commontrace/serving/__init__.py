"""Serving: what wires a server together."""
