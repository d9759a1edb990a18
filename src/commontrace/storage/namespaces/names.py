"""Name of a namespace, as a column of statements that read what lives in it."""

from typing import Any

from sqlalchemy import ColumnElement, select

from commontrace.storage.models import Namespace


def namespace_name_of(namespace_id: Any) -> ColumnElement[str]:
    """Returns the name of the namespace whose id is in a column."""
    return select(Namespace.name).where(Namespace.id == namespace_id).correlate_except(Namespace).scalar_subquery()
