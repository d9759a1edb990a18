"""Declarative base of the tables: types, names of constraints, timestamps."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    DateTime,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from commontrace.domain.namespaces.namespace import COMMONS_ID

NOW = text("now()")

IN_COMMONS = text(f"'{COMMONS_ID}'::uuid")
"""The namespace of rows that name none."""


class Base(AsyncAttrs, DeclarativeBase):
    """Base of all tables. Every constraint has a name, by which `constraints` maps its violation to an error."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    if TYPE_CHECKING:
        # Narrower than SQLAlchemy's type: every model is mapped to a table here.
        __table__: ClassVar[Table]
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB, str: String}  # noqa: RUF012 - SQLAlchemy's name


class Timestamps:
    """Columns for the times of creation and of the last change."""

    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
