"""Shared parts of commands: calls, settings, input, signals."""
