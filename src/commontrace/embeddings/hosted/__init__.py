"""Hosted models, behind an OpenAI-compatible endpoint."""
