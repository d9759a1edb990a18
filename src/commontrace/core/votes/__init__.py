"""Votes: cast, retract, list, recount."""
