"""Votes: cast, retract, recount."""
