"""Searches: query, result, rankings, resumption."""
