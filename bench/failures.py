"""Exceptions of runs that end without results."""


class RunFailed(Exception):
    """The numbers would mean nothing; the message says why."""
