"""Why a run ends without results."""


class RunFailed(Exception):
    """The numbers would mean nothing; the message says why."""
