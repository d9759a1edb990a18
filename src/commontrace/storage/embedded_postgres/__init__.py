"""Embedded Postgres: creation, supervision and shutdown of a private PostgreSQL (ADR 0005)."""
