"""Durations as people type them."""

import re
from datetime import timedelta

import typer

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MAX = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """Returns the duration of a text such as `90d` or `12h`. Raises typer.BadParameter."""
    match = re.fullmatch(r"([0-9]{1,10})([smhdw])", text)
    # Compared as a number, because a timedelta cannot hold 9,999,999,999 weeks.
    seconds = int(match[1]) * _SECONDS[match[2]] if match else None
    if seconds is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 30m, 12h, 90d or 52w")
    if seconds > _MAX.total_seconds():
        raise typer.BadParameter(f"{text!r} is more than {_MAX.days}d")
    return timedelta(seconds=seconds)
