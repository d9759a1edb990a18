"""Keyset pagination: page tokens, and pages that fit into a response."""
