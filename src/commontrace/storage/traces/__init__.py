"""Traces, their revisions, changes and exports."""
