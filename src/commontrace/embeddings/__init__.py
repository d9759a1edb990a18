"""Encoding: turns texts into unit vectors whose dot product is their cosine similarity."""
