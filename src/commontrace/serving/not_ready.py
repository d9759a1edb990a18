"""Start-up failure, as every check of `serving` reports it."""


class NotReady(Exception):
    """The server cannot start. The message says what to do."""
