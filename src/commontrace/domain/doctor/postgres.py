"""Checks of a Postgres that is to hold the service's data (ADR 0054)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from commontrace.domain.doctor.findings import Finding, ok, problem

POSTGRES_VERSION = 16
PGVECTOR_VERSION = (0, 8, 4)
ENCODING = "UTF8"

DURABILITY = {
    "fsync": "after a power cut the whole database may be unusable",
    "full_page_writes": "after a power cut pages may be half written",
    "synchronous_commit": "what was acknowledged may be lost in a crash",
}
"""Settings of Postgres that must not be off, with the damage they prevent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresFacts:
    """Facts of a Postgres and of one of its databases, as the user of DATABASE_URL sees them.

    Names are quoted for SQL. `pgvector` is the version of the extension, None without it. `remedies` has, for each
    `DURABILITY` setting, the statement that turns it on, wherever it was turned off.
    """

    version: str
    major: int
    encoding: str
    user: str
    database: str
    search_path: str
    schema: str | None
    """The schema of new tables; None if no schema on the search path exists."""
    may_create_tables: bool
    taken: Sequence[str]
    """The tables of that schema that have names of ours."""
    pgvector: str | None
    pgvector_available: str | None
    pgvector_schema: str | None
    pgvector_is_visible: bool
    durability: Mapping[str, str]
    remedies: Mapping[str, str]

    @property
    def offers_pgvector(self) -> bool:
        """True if the machine has a recent enough pgvector, created in the database or not."""
        return self.pgvector_available is not None and _numbers(self.pgvector_available) >= PGVECTOR_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class WritingFacts:
    """Reasons for a read-only database: a standby, or a default, which the statement `remedy` turns off."""

    is_standby: bool
    is_off_by_default: bool
    remedy: str


def check_postgres(facts: PostgresFacts) -> list[Finding]:
    """Checks a database, migrated or not: version, encoding, pgvector, durability."""
    return [*check_database(facts), check_pgvector(facts), *check_durability(facts)]


def check_database(facts: PostgresFacts) -> list[Finding]:
    """Checks that Postgres is recent enough and that the database can hold every text."""
    return [_postgres_version(facts), _encoding(facts)]


def check_writing(facts: WritingFacts) -> Finding:
    """Checks that the database accepts writes."""
    if facts.is_standby:
        return problem(
            "writing",
            "the database is a standby, which only reads: every write fails",
            "let DATABASE_URL lead to the primary, or promote this one; psql: SELECT pg_promote()",
        )
    if facts.is_off_by_default:
        return problem("writing", "default_transaction_read_only is on: every write fails", f"psql: {facts.remedy}")
    return ok("writing", "the database reads and writes")


def check_pgvector(facts: PostgresFacts) -> Finding:
    """Checks that the extension is created, recent enough, and on the search path."""
    needed = ".".join(map(str, PGVECTOR_VERSION))
    install = f"install pgvector {needed} or newer on the database's machine"
    if facts.pgvector is None:
        there = "commontrace migrate creates it, as a user who may; else let a superuser run CREATE EXTENSION vector"
        return problem("pgvector", "the extension vector is not there", there if facts.offers_pgvector else install)
    if _numbers(facts.pgvector) < PGVECTOR_VERSION:
        update = "psql: ALTER EXTENSION vector UPDATE"
        return problem(
            "pgvector", f"pgvector {facts.pgvector} is too old", update if facts.offers_pgvector else install
        )
    if not facts.pgvector_is_visible:
        path = ", ".join(part for part in (facts.search_path, facts.pgvector_schema) if part)
        return problem(
            "pgvector",
            f"the extension vector is in the schema {facts.pgvector_schema}, and not on the search_path of the user"
            f" {facts.user}",
            f"psql: ALTER ROLE {facts.user} IN DATABASE {facts.database} SET search_path = {path}",
        )
    return ok("pgvector", f"pgvector {facts.pgvector}")


def check_durability(facts: PostgresFacts) -> list[Finding]:
    """Checks that acknowledged writes survive a crash."""
    off = [name for name in DURABILITY if facts.durability.get(name) == "off"]
    if not off:
        return [ok("durability", f"{', '.join(DURABILITY)} are on")]
    return [
        problem("durability", f"{name} is off: {DURABILITY[name]}", f"psql: {facts.remedies[name]}") for name in off
    ]


def check_room(facts: PostgresFacts) -> list[Finding]:
    """Returns the problems that would keep a first migration from creating its tables; none if it can."""
    own = "give CommonTrace a database of its own, or a schema of its own that is first on its user's search_path"
    if facts.schema is None:
        return [
            problem(
                "schema",
                f"no schema on the search_path of the user {facts.user} ({facts.search_path}) exists",
                f"psql: ALTER ROLE {facts.user} IN DATABASE {facts.database} SET search_path = public",
            )
        ]
    if facts.taken:
        tables = ", ".join(facts.taken)
        return [problem("schema", f"the schema {facts.schema} has tables of another application: {tables}", own)]
    if not facts.may_create_tables:
        return [
            problem(
                "schema",
                f"the user {facts.user} may not create tables in the schema {facts.schema}",
                f"psql: GRANT CREATE ON SCHEMA {facts.schema} TO {facts.user}",
            )
        ]
    return []


def check_revision(current: str | None, newest: str) -> Finding:
    """Checks that the database is migrated to the revision of this version."""
    if current is None:
        return problem("revision", "the database was never migrated", "commontrace migrate")
    if current < newest:
        return problem("revision", f"the database is at {current}, this version needs {newest}", "commontrace migrate")
    if current > newest:
        return problem(
            "revision",
            f"the database is at {current}, of a newer version; this one knows {newest}",
            "install the newer version of CommonTrace",
        )
    return ok("revision", f"{current}, the newest")


def _postgres_version(facts: PostgresFacts) -> Finding:
    if facts.major < POSTGRES_VERSION:
        advice = f"move to PostgreSQL {POSTGRES_VERSION} or newer"
        return problem("postgres", f"PostgreSQL {facts.version} is too old", advice)
    return ok("postgres", f"PostgreSQL {facts.version}")


def _encoding(facts: PostgresFacts) -> Finding:
    if facts.encoding != ENCODING:
        return problem(
            "encoding",
            f"the database's encoding is {facts.encoding}, which does not hold every text",
            f"make one in {ENCODING}: createdb --template=template0 --encoding={ENCODING} --locale=C.UTF-8 NAME",
        )
    return ok("encoding", facts.encoding)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
