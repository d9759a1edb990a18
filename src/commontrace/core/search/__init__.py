"""Searches: service, passes, rankings, batches."""
