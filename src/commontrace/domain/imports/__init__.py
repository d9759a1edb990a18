"""Imports: what becomes of each item."""
