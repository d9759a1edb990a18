"""Stored traces with given vectors, and searches that are resumed to their end."""

from random import Random
from typing import Any
from uuid import UUID

import numpy as np

from commontrace.embeddings.embedder import Vector
from commontrace.settings import INSTALLED_MODEL
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vector_pb2
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.traces.listed_traces import Stored, store_varied
from tests.integration.storage.storing import EMAIL, INSTALLED_VERSION, a_trace, unit_vector
from tests.support.builders import hits_of, search

QUERY = unit_vector(1_000_000)


def a_vector(components: Vector = QUERY) -> vector_pb2.Vector:
    """A vector as requests carry it."""
    return vector_pb2.Vector(packed_f32=components.astype("<f4").tobytes(), model_id=INSTALLED_MODEL)


async def store_vectors(database: Database, vectors: list[Vector]) -> list[UUID]:
    """Stores a trace for each vector; every third has the agent model `m`."""
    async with database.unit_of_work() as work:
        contributor_id = await work.users.get_or_create(EMAIL)
        traces = [
            a_trace(
                contributor_id,
                embedding=vector,
                embedding_model_id=INSTALLED_MODEL,
                embedding_model_version=INSTALLED_VERSION,
                agent_model="m" * (number % 3 == 0),
            )
            for number, vector in enumerate(vectors)
        ]
        for trace in traces:
            await work.trace_creation.add(trace)
    return [trace.id for trace in traces]


async def store_varied_vectors(database: Database, count: int) -> list[Stored]:
    """Stores traces with every mixture of properties, each with a vector of its own."""
    stored = await store_varied(database, count, Random(1))  # noqa: S311 - not a secret
    async with database.unit_of_work() as work:
        for number, trace in enumerate(stored):
            model = {"embedding_model_id": INSTALLED_MODEL, "embedding_model_version": INSTALLED_VERSION}
            await work.trace_changes.update(trace.id, {"embedding": unit_vector(number), **model})
    return stored


def with_ties(count: int) -> list[Vector]:
    """Vectors with ties: every fifth is one of the same seven."""
    directions = [unit_vector(number) for number in range(count)]
    return [directions[number % 7 if number % 5 == 0 else number] for number in range(count)]


def similarities(vectors: list[Vector]) -> list[float]:
    """Similarities to the query."""
    return [float(similarity) for similarity in np.array(vectors) @ QUERY]


async def every_stream(traces: TraceServiceStub, **fields: Any) -> list[list[pb.SearchTracesResponse]]:
    """Streams of a search and of its resumptions, until one has no resume token."""
    streams: list[list[pb.SearchTracesResponse]] = []
    token = ""
    while not streams or token:
        assert len(streams) < 100
        streams.append(await search(traces, resume_token=token, **fields))
        token = streams[-1][-1].resume_token
    return streams


def ids_in(responses: list[pb.SearchTracesResponse]) -> list[str]:
    """Ids of a stream's traces. Asserts the order that the contract promises."""
    ranks = [(-hit.similarity, hit.trace.id) for hit in hits_of(responses)]
    assert ranks == sorted(ranks)
    return [trace_id for _, trace_id in ranks]
