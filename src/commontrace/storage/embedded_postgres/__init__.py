"""Embedded Postgres: created, supervised and stopped with its owner."""
