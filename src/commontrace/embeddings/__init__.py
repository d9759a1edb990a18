"""Embedding models: texts become unit vectors whose dot product is their cosine similarity."""
