"""Hosted embedding models, behind an OpenAI-compatible endpoint (ADR 0012)."""
