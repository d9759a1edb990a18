"""Monitoring: metrics and traces of a running server (ADR 0033). Nothing here decides anything."""
