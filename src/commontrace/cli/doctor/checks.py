"""Checks of `commontrace doctor`: settings, certificate, database, vectors, model, server.

A check runs only if the earlier ones left it something to look at.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from commontrace.cli.doctor.server_checks import ServerReport, check_server, compare_databases
from commontrace.cli.runtime.environment import InvalidSettings, load_settings, message_with_cause
from commontrace.domain.doctor import findings as doctor
from commontrace.domain.doctor import memory as memory_doctor
from commontrace.domain.doctor import postgres as postgres_doctor
from commontrace.domain.doctor import vectors as vector_doctor
from commontrace.domain.doctor.findings import Finding, Level, ok, problem, warning
from commontrace.domain.errors import CommonTraceError
from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.model import RecordedModel
from commontrace.postgres_memory import available_bytes
from commontrace.serving import bootstrap, certificates
from commontrace.serving.embedder_factory import choose_embedder, settings_that_fit
from commontrace.serving.listening import refuse_open_address
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage import migrations
from commontrace.storage.doctor.inspector import DatabaseInspector, inspect_database
from commontrace.storage.doctor.refusals import InspectionFailed
from commontrace.storage.doctor.search_plan import explain_search
from commontrace.storage.doctor.vectors import intended_index
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.error_advice import REACH, advice_for
from commontrace.storage.models.vector_index import VECTOR_INDEX_NAME, create_index_sql
from commontrace.storage.postgres_url import parse_postgres_url

_ENCODING_SECONDS = 10.0
_REPAIR = "repair what the message names, or restore a backup"


async def run_checks(address: str) -> AsyncIterator[Finding]:
    """Yields the findings of all checks as they are made; `address` is the expected address of the server."""
    # Before the database, whose rows are compared with what the server lists.
    server = await check_server(address)
    try:
        settings = load_settings()
    except InvalidSettings as error:
        for message in error.problems:
            name = message.partition(":")[0]
            advice = f"correct {name}, or unset it" if os.environ.get(name) else f"set {name}"
            yield problem("settings", message, advice)
    else:
        yield _check_settings(settings)
        if settings.tls_cert_file is not None:
            yield _check_certificate(settings)
        async for finding in _check_database(settings, server):
            yield finding
    for finding in server.findings:
        yield finding


def _check_settings(settings: Settings) -> Finding:
    try:
        refuse_open_address(settings)
    except NotReady as error:
        return problem("settings", "LISTEN_ADDRESS would be refused", str(error))
    place = f"embedded in {settings.data_dir}" if settings.database_url is None else "that of DATABASE_URL"
    return ok("settings", f"the database is {place}, EMBEDDER is {settings.embedder}")


def _check_certificate(settings: Settings) -> Finding:
    try:
        certificate = certificates.check_files(certificates.read_files(settings))
    except certificates.CertificateUnusable as error:
        return problem("certificate", error.said, error.advice)
    until = f"that of {certificate.subject} is valid until {certificate.expires:%Y-%m-%d}"
    if certificate.expires_soon():
        return warning("certificate", until, "renew it: a running server takes the new files by itself")
    if settings.tls_key_file is not None and certificates.anybody_reads(settings.tls_key_file):
        return warning(
            "certificate", "every user of this machine may read its key", f"chmod o-r {settings.tls_key_file}"
        )
    return ok("certificate", until)


async def _check_database(settings: Settings, server: ServerReport) -> AsyncIterator[Finding]:
    try:
        is_running = settings.database_url is None and embedded_postgres.attach(settings.data_dir) is not None
        missing = None if settings.database_url or is_running else bootstrap.missing_database(settings)
    except embedded_postgres.EmbeddedPostgresFailed as error:
        yield problem("database", str(error), "look as the user whose it is, or set DATA_DIR to where yours is")
        return
    if missing is not None:
        advice = bootstrap.HOW_TO_HAVE_ONE
        if server.is_there:
            advice = f"set DATA_DIR or DATABASE_URL as the server on {server.address} has it; or {advice}"
        yield warning("database", missing, advice)
        return
    try:
        with bootstrap.postgres(settings, attach=True) as where:
            async with inspect_database(where.url) as database:
                yield ok("database", _location(where))
                async for finding in _check_contents(database, where, settings, server):
                    yield finding
    except migrations.RevisionNotOurs as error:
        yield problem("revision", error.said, error.advice)
    except CommonTraceError as error:
        yield problem("database", message_with_cause(error), advice_for(error, otherwise=REACH))
    except InspectionFailed as error:
        yield problem("database", message_with_cause(error), advice_for(error, otherwise=_REPAIR))
    except NotReady as error:
        yield problem("database", "DATABASE_URL cannot be used", str(error))
    except embedded_postgres.DataDirectoryInUse as error:
        yield problem("database", "its Postgres does not answer (yet)", f"wait for it; else: {error}")
    except embedded_postgres.EmbeddedPostgresFailed as error:
        message, _, log = str(error).partition("\n")
        yield problem("database", message, log or "see the message")


def _location(where: bootstrap.Postgres) -> str:
    url = parse_postgres_url(where.url)
    if where.is_embedded:
        started = ", started for this look" if where.process else ""
        return f"the embedded Postgres answers{started}: psql -h {url.query['host']} -U {url.username}"
    return f"{url.database or url.username} on {url.host or url.query.get('host', 'this machine')} answers"


async def _check_contents(
    database: DatabaseInspector, where: bootstrap.Postgres, settings: Settings, server: ServerReport
) -> AsyncIterator[Finding]:
    facts = await database.get_postgres_facts()
    for finding in postgres_doctor.check_postgres(facts):
        yield finding
    yield postgres_doctor.check_writing(database.writing)
    current = await database.get_revision()
    revision = postgres_doctor.check_revision(current, migrations.newest_revision())
    yield revision
    if current is None:
        for finding in postgres_doctor.check_room(facts):
            yield finding
    # At another revision, tables may be missing or have other columns.
    if revision.level is Level.OK and facts.pgvector_is_visible:
        async for finding in _check_vectors(database, where, settings):
            yield finding
        if (comparison := await compare_databases(server, database)) is not None:
            yield comparison


async def _check_vectors(
    database: DatabaseInspector, where: bootstrap.Postgres, settings: Settings
) -> AsyncIterator[Finding]:
    recorded = await database.get_model()
    is_as_new = where.is_embedded and await database.has_only_seeds()
    upcoming = await database.get_next_model()
    yield await _check_model(recorded, upcoming, settings, is_as_new=is_as_new and upcoming is None)
    if upcoming is not None:
        yield vector_doctor.check_reembedding(upcoming, await database.get_reembedding_progress())
    create = create_index_sql(recorded.dimensions, concurrently=True)
    found, intended = await database.get_vector_index(), intended_index(recorded.dimensions)
    is_importing = await database.is_bulk_importing()
    index = doctor.check_index(VECTOR_INDEX_NAME, found, intended, create=create, is_importing=is_importing)
    yield index
    if index.level is not Level.PROBLEM and found is not None and found.is_valid:
        plan = await explain_search(where.url, recorded)
        yield doctor.check_plan(VECTOR_INDEX_NAME, plan, create=create)
        available = available_bytes() if where.is_embedded else None
        yield memory_doctor.check_memory(VECTOR_INDEX_NAME, await database.get_memory(), available=available)
    yield vector_doctor.check_vectors(await database.count_vectors(recorded))
    yield vector_doctor.check_queue(await database.get_queue())


async def _check_model(
    recorded: RecordedModel, upcoming: RecordedModel | None, settings: Settings, *, is_as_new: bool
) -> Finding:
    try:
        embedder = await choose_embedder(settings, recorded=recorded, may_replace=is_as_new)
    except ModelNotUsable as error:
        return problem("model", f"{recorded.model_id}, which made the stored vectors, cannot be used", str(error))
    try:
        async with asyncio.timeout(_ENCODING_SECONDS):
            await embedder.encode(["Does it encode?"])
    except (EmbedderUnavailable, TimeoutError) as error:
        reason = str(error) or f"it took more than {_ENCODING_SECONDS:g} s"
        return warning("model", f"{embedder.model_id} cannot encode text now: {reason}", "see to the endpoint")
    finally:
        await embedder.close()
    if upcoming is not None and upcoming.made_by(embedder):
        return ok("model", f"the stored vectors come from {recorded.model_id}, the settings give the next model")
    return doctor.check_model(
        recorded,
        embedder,
        is_as_new=is_as_new,
        is_moving=upcoming is not None,
        fitting=settings_that_fit(recorded),
    )
