"""Imports: the outcome of each item."""
