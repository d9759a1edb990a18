"""Seed traces: the samples that a new database is filled with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from commontrace.core.traces.create import add
from commontrace.domain.caller import SEED_EMAIL, SEED_NAME
from commontrace.domain.tags.names import normalise_all
from commontrace.domain.traces.contribution import VALIDATED, Contribution, new_trace
from commontrace.embeddings.embedder import Embedder
from commontrace.storage.database import Database

_NAMESPACE = UUID("5f2f7c1e-8f0e-4d7c-9a51-0d3a3a0c6b52")


def read_seeds(fixtures: Path) -> dict[UUID, Contribution]:
    """Reads the seed traces from the fixtures, by id. Ids follow from slugs, so that seeding twice adds nothing."""
    seeds: list[Mapping[str, Any]] = json.loads((fixtures / "sample_traces.json").read_text(encoding="utf-8"))
    return {uuid5(_NAMESPACE, seed["slug"]): _contribution(seed) for seed in seeds}


async def seed(seeds: Mapping[UUID, Contribution], database: Database, embedder: Embedder) -> int:
    """Stores the missing seeds as validated traces; returns how many. Safe when run twice at once."""
    known = await database.read(lambda reading: reading.traces.get_existing_ids(seeds))
    missing = [trace_id for trace_id in seeds if trace_id not in known]
    if not missing:
        return 0
    embeddings = await embedder.encode([seeds[trace_id].text for trace_id in missing])
    async with database.unit_of_work() as work:
        contributor_id = await work.users.get_or_create(SEED_EMAIL, display_name=SEED_NAME, is_seed=True)
        # Another process may have seeded while this one encoded, or waits here for this transaction.
        await work.users.lock(contributor_id)
        await work.tags.get_or_create({tag for trace_id in missing for tag in normalise_all(seeds[trace_id].tags)})
        missing_still = set(missing) - await work.traces.get_existing_ids(missing)
        for trace_id, embedding in zip(missing, embeddings, strict=True):
            if trace_id in missing_still:
                contribution = seeds[trace_id]
                trace = new_trace(
                    contribution,
                    embedding,
                    embedder=embedder,
                    trace_id=trace_id,
                    contributor_id=contributor_id,
                    content_hash=contribution.content_hash,
                    status=VALIDATED,
                    is_seed=True,
                )
                tags = normalise_all(contribution.tags)
                # A user may have contributed the same content before.
                if await add(trace, tags, work) is None:
                    await add(replace(trace, content_hash=None), tags, work)
        return len(missing_still)


def _contribution(seed: Mapping[str, Any]) -> Contribution:
    return Contribution(
        title=seed["title"],
        context=seed["context"],
        solution=seed["solution"],
        tags=tuple(seed["tags"]),
        agent_model=seed["agent_model"],
        agent_version=seed["agent_version"],
        metadata=seed["metadata"],
    )
