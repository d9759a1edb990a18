"""Start-up checks of a database: Postgres, revision, pgvector, durability (ADR 0054)."""

from collections.abc import Iterable

import structlog

from commontrace.domain.doctor import postgres as postgres_doctor
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.domain.doctor.postgres import PostgresFacts, WritingFacts
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage import migrations
from commontrace.storage.doctor.inspector import inspect_database
from commontrace.storage.doctor.refusals import InspectionFailed

log = structlog.get_logger()


async def database_facts(url: str) -> tuple[PostgresFacts, WritingFacts]:
    """Returns what the Postgres is and whether it can be written to. Raises NotReady, DatabaseUnavailable."""
    async with inspect_database(url) as database:
        try:
            return await database.get_postgres_facts(), database.writing
        except InspectionFailed as error:
            raise NotReady("the database does not tell its settings: `commontrace doctor` says more") from error


async def require_newest_revision(url: str) -> PostgresFacts:
    """Returns the facts of a database that this code can use: any text, the newest revision, pgvector.

    Raises NotReady, DatabaseUnavailable, RevisionNotOurs.
    """
    facts, _ = await database_facts(url)
    refuse_problems(postgres_doctor.check_database(facts))
    newest = migrations.newest_revision()
    # Not on the connection of the facts, whose errors read otherwise where the user may not see the revision.
    revision = await migrations.current_revision(url)
    refuse_newer(revision, newest)
    if revision is None:
        raise NotReady("the database was never migrated: run `commontrace migrate`")
    if revision != newest:
        raise NotReady(f"the database is at revision {revision}, this server needs {newest}: run `commontrace migrate`")
    refuse_problems([postgres_doctor.check_pgvector(facts)])
    return facts


def refuse_problems(findings: Iterable[Finding]) -> None:
    """Raises NotReady for the first finding that is a problem."""
    for finding in findings:
        if finding.level is Level.PROBLEM:
            raise NotReady(f"{finding.message}: {finding.advice}")


def refuse_newer(revision: str | None, newest: str) -> None:
    """Raises NotReady for a revision of a later version of CommonTrace."""
    if revision is not None and revision > newest:
        raise NotReady(
            f"the database is at {revision}, of a newer version of CommonTrace, and this one knows {newest}:"
            " start the newer version; nothing else can go on from there"
        )


def require_durable(facts: PostgresFacts, settings: Settings) -> None:
    """Raises NotReady where an acknowledged write could be lost, unless the settings allow that."""
    for finding in postgres_doctor.check_durability(facts):
        if finding.level is not Level.PROBLEM:
            continue
        if not settings.allow_unsafe_postgres:
            raise NotReady(
                f"{finding.message}: {finding.advice}, or set ALLOW_UNSAFE_POSTGRES=true where losing data is fine"
            )
        log.warning("what is acknowledged may be lost", why=finding.message)
