"""Searches by words that cost the most, 24 at a time, in a store of 10,000 traces: the searches of others go on."""

import asyncio
import time
from collections import Counter

import grpc

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.search.keyword import BUDGET
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.callers import reason_of
from tests.contract.errors.error_row import SEARCH
from tests.faults.harness.beside import Beside, beside
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.servers import server
from tests.support.keys import Metadata

_TRACES, _DIMENSIONS, _FEW = 10_000, 64, 30
_AT_A_TIME, _SECONDS, _LEAST_SECONDS = 24, 8.0, 4.0
_PAUSE_SECONDS = 0.01
_P99_SECONDS = 1.0

# Eight words stand in every trace, eight in every second, eight in every third, and so on: Zipf's law, in steps.
_WORDS, _ALIKE = 1_000, 8
_FILL = f"""
INSERT INTO traces (id, title, context_text, solution_text, embedding, embedding_model_id, embedding_model_version,
    contributor_id, agent_model)
SELECT gen_random_uuid(), 'Error E' || 1000000 + n,
    (SELECT string_agg('word' || k, ' ') FROM generate_series(0, {_WORDS} - 1) k WHERE n % (1 + k / {_ALIKE}) = 0),
    'solution',
    l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, {_DIMENSIONS} + 0 * n))::vector),
    '{{0}}', '{{1}}', (SELECT id FROM users LIMIT 1), CASE WHEN n < {_FEW} THEN 'few' ELSE '' END
FROM generate_series(0, {{2}} - 1) n
"""  # noqa: S608 - our own
_LOOKED_UP = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'ix_trace_words_words'"
_INDEX = "ix_traces_embedding_hnsw"

_COMMONEST = " ".join(f"word{number}" for number in range(40))
_LONGEST = " ".join(f"word{number}" for number in range(_WORDS))[:8_000]
_FILTERS = (TraceFilter(agent_models=["few"]), TraceFilter(agent_models=[""]), TraceFilter(agent_models=["none"]), None)
_HOSTILE = [
    pb.SearchTracesRequest(text=text, filter=one, ranking=pb.RANKING_HYBRID)
    for text in (_COMMONEST, _LONGEST)
    for one in _FILTERS
]
_GOOD = (
    (SEARCH, pb.SearchTracesRequest(text="why does it fail?")),
    (SEARCH, pb.SearchTracesRequest(text="what is error E1000007 in word777?", ranking=pb.RANKING_HYBRID)),
)


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: all holders of every word are looked up, whatever they cost and however few pass a filter."""
    with server(trial, "word budget", EMBEDDING_DIMENSIONS=str(_DIMENSIONS)) as running:
        callers = callers_of(running)
        good, other = [await callers.metadata(f"{name}@example.org") for name in ("good", "other")]
        async with beside(running) as database, grpc.aio.insecure_channel(running.address) as channel:
            await _fill(database, trial.times(_TRACES))
            traces, before = TraceServiceStub(channel), await database.counted(_LOOKED_UP)
            ends_at = time.monotonic() + max(_LEAST_SECONDS, _SECONDS * trial.scale)
            async with good_clients(running.address, good, asked=_GOOD) as fared:
                answers = await asyncio.gather(
                    *(_ask(traces, number, other, until=ends_at) for number in range(_AT_A_TIME))
                )
            looked_up = await database.counted(_LOOKED_UP) - before
    counted = sum(answers, Counter[str]())
    average = looked_up / counted.total()
    did = ", ".join(f"{count} {answer}" for answer, count in counted.most_common())
    return [
        Figure(
            name="costly searches by words: errors of good clients",
            target="0",
            measured=f"{fared}; costly ones: {did}",
            ok=bool(fared.took) and not fared.failures,
        ),
        Figure(
            name="costly searches by words: holders of words looked up",
            target=f"{BUDGET:,} a search",
            measured=f"{average:,.0f} of {trial.times(_TRACES):,} traces",
            # Where no search was answered, nothing was counted.
            ok=bool(counted["OK"]) and average <= BUDGET,
        ),
        Figure(
            name="costly searches by words: answers to good clients",
            target=f"p99 at most {_P99_SECONDS:g} s",
            measured=f"p99 {fared.p99:.2f} s of {len(fared.took)}",
            ok=fared.p99 <= _P99_SECONDS,
        ),
    ]


async def _fill(database: Beside, count: int) -> None:
    embedder = LexicalEmbedder(_DIMENSIONS)
    [[index]] = await database.ask(f"SELECT pg_get_indexdef('{_INDEX}'::regclass)")
    for statement in (
        f"DROP INDEX {_INDEX}",
        _FILL.format(embedder.model_id, embedder.model_version, count),
        index,
        "VACUUM (ANALYZE)",
    ):
        await database.ask(statement)


async def _ask(traces: TraceServiceStub, number: int, caller: Metadata, *, until: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    while time.monotonic() < until:
        request = _HOSTILE[number % len(_HOSTILE)]
        number += 1
        answers[await reason_of(_read(traces, request, caller))] += 1
        # Others of the same process want to be measured, not their wait for it.
        await asyncio.sleep(_PAUSE_SECONDS)
    return answers


async def _read(traces: TraceServiceStub, request: pb.SearchTracesRequest, caller: Metadata) -> None:
    async for _ in traces.SearchTraces(request, metadata=caller, timeout=10.0):
        pass
