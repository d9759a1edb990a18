"""Every constraint that the database has a name for: it has a meaning in the domain, or cannot be violated."""

from typing import Any

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.constraints import ERRORS, GUARDS, Guard
from commontrace.storage.encoding.reembedding import Reembedding
from tests.conftest import query

# NOT NULL, which Postgres 18 lists and 16 does not, has the name of the column, which a type of Python's guards.
CONSTRAINTS = """
    SELECT conname, contype::text, confrelid::regclass::text FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION
    SELECT relname, 'u', '-' FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND indisunique
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"""
# One column that a UUID or a sequence fills.
GENERATED = """
    SELECT conname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE contype = 'p' AND cardinality(conkey) = 1 AND (atttypid = 'uuid'::regtype OR attidentity = 'a')"""
GUARDS_OF_REFERENCES = {
    "namespaces": Guard.NAMESPACE_HELD,
    "traces": Guard.TRACE_HELD,
    "users": Guard.NEVER_DELETED,
}
GUARDS_OF_KEYS = {Guard.GENERATED, Guard.UPSERT, Guard.TRACE_LOCKED, Guard.MERGES_HELD, Guard.ONE_AT_A_TIME}


async def constraints(url: str) -> list[Any]:
    """Name, kind and table that is referred to, with those that there are while vectors are made anew."""
    steps = Reembedding(url)
    await steps.start(LexicalEmbedder(64))
    await steps.close()
    return await query(url, CONSTRAINTS)


async def test_every_constraint_has_a_meaning_or_a_guard(database_url: str) -> None:
    names = [name for name, _, _ in await constraints(database_url)]
    assert sorted(names) == sorted([*ERRORS, *GUARDS])


async def test_guards_are_such_as_the_constraint_can_have(database_url: str) -> None:
    generated = {name for (name,) in await query(database_url, GENERATED)}
    for name, kind, referred in await constraints(database_url):
        guard = GUARDS.get(name)
        if guard is None:
            continue
        if kind == "f":
            assert guard is GUARDS_OF_REFERENCES[referred], name
        elif kind == "c":
            assert guard is Guard.CHECKED, name
        else:
            assert guard in GUARDS_OF_KEYS, name
            assert guard is not Guard.GENERATED or name in generated, name
