"""Tag names of a trace, as a column of statements that read traces."""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, select

from commontrace.storage.models import Tag, TraceTag


def tag_names_of(trace_id: Any) -> ColumnElement[Any]:
    """Returns the tag names of the trace whose id is in a column, in no order: rows sort them (ADR 0038).

    With ORDER BY, connections whose planner must not sort would read the index of all names once for every trace. With
    a join, any planner may join traces with all names. An array of ids leaves the planner only the primary key.
    """
    ids = select(TraceTag.tag_id).where(TraceTag.trace_id == trace_id).correlate_except(TraceTag).scalar_subquery()
    names = select(Tag.name).where(Tag.id == any_(func.array(ids, type_=ARRAY(Uuid)))).correlate_except(Tag)
    return func.array(names.scalar_subquery())
