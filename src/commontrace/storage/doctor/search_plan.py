"""EXPLAIN of an ordinary search, on a connection with the settings of searches."""

from typing import Any

import numpy as np
from sqlalchemy import ClauseElement, Executable
from sqlalchemy.ext.compiler import compiles

from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.model import RecordedModel
from commontrace.storage import engines
from commontrace.storage.doctor.refusals import translate_refusals
from commontrace.storage.search import filter_sql
from commontrace.storage.search.neighbours import approximate_parameters, approximate_statement

_UNFILTERED = ResolvedFilter(trace_filter=TraceFilter(), namespaces=COMMONS_ONLY.readable)
_READ_ONLY = {"default_transaction_read_only": "on"}


async def explain_search(url: str, model: RecordedModel) -> str:
    """Returns the plan of an ordinary search, as EXPLAIN prints it.

    Needs the newest revision. Raises InspectionFailed, DatabaseUnavailable, SettingRefused.
    """
    limit = 10
    vector = np.zeros(model.dimensions, dtype=np.float32)
    vector[0] = 1.0
    query = NeighbourQuery(
        vector=vector,
        model_id=model.model_id,
        model_version=model.model_version,
        limit=limit,
        trace_filter=_UNFILTERED,
    )
    parameters = approximate_parameters(query, ef_search=candidates_for(limit))
    statement = _Explain(approximate_statement(filter_sql.kinds_of(_UNFILTERED), dimensions=model.dimensions))
    settings = engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS | _READ_ONLY
    engine = engines.pooled(url, settings, size=1, timeout=engines.CONNECT_SECONDS, autocommit=True)
    try:
        with translate_refusals():
            async with engine.connect() as connection:
                return "\n".join((await connection.execute(statement, parameters)).scalars())
    finally:
        await engine.dispose()


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (COSTS OFF) {compiler.process(element.statement, **options)}"
