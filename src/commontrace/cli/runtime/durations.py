"""How long something lasts, as people type it."""

import re
from datetime import timedelta

import typer

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MOST = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """Returns what `90d` or `12h` means, or says what was expected and ends."""
    form = re.fullmatch(r"([0-9]{1,10})([smhdw])", text)
    # Compared as a number: more weeks than a timedelta can hold are no timedelta.
    seconds = int(form[1]) * _SECONDS[form[2]] if form else None
    if seconds is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 30m, 12h, 90d or 52w")
    if seconds > _MOST.total_seconds():
        raise typer.BadParameter(f"{text!r} is more than {_MOST.days}d")
    return timedelta(seconds=seconds)
