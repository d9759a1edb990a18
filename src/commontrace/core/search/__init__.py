"""Searches: service, candidate generation, ranking, results and their hits."""
