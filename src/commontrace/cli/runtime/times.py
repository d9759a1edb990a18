"""Parsing of times in options."""

from datetime import UTC, datetime

import typer


def parse_time(text: str) -> datetime:
    """Returns the time of an ISO 8601 text, in UTC without an offset. Raises BadParameter for anything else."""
    try:
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T12:00:00+01:00") from None
    except OverflowError:
        raise typer.BadParameter(f"{text!r} lies outside the years 1 to 9999 in UTC") from None
