"""Diagnosis: facts in, findings with advice out."""
