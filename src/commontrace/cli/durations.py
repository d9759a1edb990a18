"""How long something lasts, as people type it."""

import re
from datetime import timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MOST = timedelta(days=36_500)


def duration(text: str) -> timedelta:
    """Returns what `90d` or `12h` means, or says what was expected and ends."""
    form = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    length = timedelta(**{_UNITS[form[2]]: int(form[1])}) if form else None
    if length is None or length > _MOST:
        raise typer.BadParameter(f"{text!r} is no duration such as 30m, 12h, 90d or 52w")
    return length
