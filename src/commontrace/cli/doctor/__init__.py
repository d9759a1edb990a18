"""Checks of `commontrace doctor` (ADR 0016)."""
