"""Tags: resolving spellings to canonical names, updates, merges (ADR 0010)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from commontrace.domain.errors import InvalidTag, TagNotFound
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.tags.names import CanonicalName, canonical, normalise
from commontrace.storage.database import Database
from commontrace.storage.tags.listing import TagRow
from commontrace.storage.unit_of_work import UnitOfWork

FIELDS = ("description", "is_curated")
"""The fields of a tag that `update` can set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTag:
    """A spelling with its canonical name, or its problem. `alias` is the alias that led to the name, '' if none did."""

    spelling: str
    name: str = ""
    alias: str = ""
    is_known: bool = False
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedTags:
    """The tag that stayed, and the number of traces moved to it."""

    tag: TagRow
    moved_trace_count: int


async def resolve(spellings: Sequence[str], namespaces: ReadableNamespaces, database: Database) -> list[ResolvedTag]:
    """Returns each spelling resolved, in order; one without a canonical name has a problem and fails nothing."""
    canonical_or_problem = [_canonical_or_problem(spelling) for spelling in spellings]
    names = {found.name for found in canonical_or_problem if isinstance(found, CanonicalName)}
    known = await database.read(lambda reading: reading.tags.get_canonical_names(names, namespaces))
    return [
        ResolvedTag(spelling=spelling, problem=found)
        if isinstance(found, str)
        else ResolvedTag(
            spelling=spelling,
            name=known.get(found.name, found.name),
            alias=found.name if known.get(found.name, found.name) != found.name else found.alias,
            is_known=found.name in known,
        )
        for spelling, found in zip(spellings, canonical_or_problem, strict=True)
    ]


async def update(spelling: str, values: Mapping[str, Any], namespaces: ReadableNamespaces, work: UnitOfWork) -> TagRow:
    """Sets some of FIELDS and returns the tag. Raises TagNotFound."""
    name = normalise(spelling)
    await work.tags.block_merges()
    tag_id = (await work.tags.lock([name])).get(name)
    if tag_id is None or await work.tag_listing.get(name, namespaces) is None:
        raise TagNotFound(name)
    await work.tag_changes.update(tag_id, values)
    # One that is no longer curated may be gone for the caller.
    return await _stored(name, work, namespaces)


async def merge(source: str, target: str, namespaces: ReadableNamespaces, work: UnitOfWork) -> MergedTags:
    """Makes the source's name an alias of the target, and creates the target if it is new. Raises InvalidTag.

    Aliases stand for their tags. Tags are the same in every namespace, and so is the merge; its answer counts the
    traces that the caller may read.
    """
    source_name, target_name = normalise(source), normalise(target)
    await work.tag_changes.lock_for_merge()
    target_id = (await work.tags.get_or_create([target_name]))[target_name]
    source_id = (await work.tags.lock([source_name])).get(source_name)
    moved = 0
    if source_id is None:
        await work.tag_changes.add_alias(source_name, target_id)
        work.tags.created_names += 1
    elif source_id != target_id:
        moved = await work.tag_changes.merge(source_id, target_id, namespaces)
    return MergedTags(tag=await _stored(target_name, work, namespaces), moved_trace_count=moved)


def _canonical_or_problem(spelling: str) -> CanonicalName | str:
    try:
        return canonical(spelling)
    except InvalidTag as error:
        return str(error)


async def _stored(name: str, work: UnitOfWork, namespaces: ReadableNamespaces) -> TagRow:
    tag = await work.tag_listing.get_any(name, namespaces)
    assert tag is not None  # noqa: S101 - locked against merges in the same transaction
    # The answer counts their traces.
    work.shown_namespace_ids.update(await work.tag_changes.list_namespace_ids(tag.name, namespaces))
    return tag
