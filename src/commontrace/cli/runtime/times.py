"""Moments, as people type them."""

from datetime import UTC, datetime

import typer


def moment(text: str) -> datetime:
    """Returns the moment that ISO 8601 gives, in UTC where no offset is named, or says what was expected and ends."""
    try:
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T12:00:00+01:00") from None
    except OverflowError:
        raise typer.BadParameter(f"{text!r} lies outside the years 1 to 9999 in UTC") from None
