"""Searches: query, neighbours, rankings, resume points."""
