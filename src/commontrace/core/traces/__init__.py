"""Traces: create, update, delete, moderate, list, export, seed."""
