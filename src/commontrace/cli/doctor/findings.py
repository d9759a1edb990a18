"""Asks everything that `commontrace doctor` wants to know, as far as the answers before allow."""

import asyncio
import os
from collections.abc import AsyncIterator

from commontrace.cli.doctor.server import AskedServer, asked, compared
from commontrace.cli.runtime.environment import SettingsWrong, settings_from_environment, with_cause
from commontrace.domain.doctor import findings as diagnosis
from commontrace.domain.doctor import postgres as postgres_diagnosis
from commontrace.domain.doctor import vectors as vector_diagnosis
from commontrace.domain.doctor.findings import Finding, Level, ok, problem, warning
from commontrace.domain.errors import CommonTraceError
from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.recorded_model import RecordedModel
from commontrace.serving import bootstrap, certificates
from commontrace.serving.embedder_factory import choose_embedder, settings_that_fit
from commontrace.serving.listening import refuse_open_address
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage import migrations as migrating
from commontrace.storage.doctor import database as databases
from commontrace.storage.embedded_postgres import instance as embedded
from commontrace.storage.models import VECTOR_INDEX_NAME
from commontrace.storage.postgres_url import postgres_url
from commontrace.storage.remedies import REACH, what_to_do

_ENCODING_SECONDS = 10.0
_REPAIR = "repair what the message names, or restore a backup"


async def findings(address: str) -> AsyncIterator[Finding]:
    """Yields what each check found, as soon as it is known. `address` is where the server should be."""
    # Before the database, which then has whatever the server tells of its own.
    server = await asked(address)
    try:
        settings = settings_from_environment()
    except SettingsWrong as error:
        for said in error.problems:
            name = said.partition(":")[0]
            yield problem("settings", said, f"correct {name}, or unset it" if os.environ.get(name) else f"set {name}")
    else:
        yield _settings(settings)
        if settings.tls_cert_file is not None:
            yield _certificate(settings)
        async for finding in _database(settings, server):
            yield finding
    for finding in server.findings:
        yield finding


def _settings(settings: Settings) -> Finding:
    try:
        refuse_open_address(settings)
    except NotReady as error:
        return problem("settings", "LISTEN_ADDRESS would be refused", str(error))
    place = f"embedded in {settings.data_dir}" if settings.database_url is None else "that of DATABASE_URL"
    return ok("settings", f"the database is {place}, EMBEDDER is {settings.embedder}")


def _certificate(settings: Settings) -> Finding:
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


async def _database(settings: Settings, server: AskedServer) -> AsyncIterator[Finding]:
    try:
        is_running = settings.database_url is None and embedded.attach(settings.data_dir) is not None
        missing = None if settings.database_url or is_running else bootstrap.missing_database(settings)
    except embedded.EmbeddedPostgresFailed as error:
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
            async with databases.looking_into(where.url) as database:
                yield ok("database", _whereabouts(where))
                async for finding in _inside(database, where, settings, server):
                    yield finding
    except migrating.RevisionNotOurs as error:
        yield problem("revision", error.said, error.advice)
    except CommonTraceError as error:
        yield problem("database", with_cause(error), what_to_do(error, otherwise=REACH))
    except databases.CannotTell as error:
        yield problem("database", with_cause(error), what_to_do(error, otherwise=_REPAIR))
    except NotReady as error:
        yield problem("database", "DATABASE_URL cannot be used", str(error))
    except embedded.DataDirectoryInUse as error:
        yield problem("database", "its Postgres does not answer (yet)", f"wait for it; else: {error}")
    except embedded.EmbeddedPostgresFailed as error:
        message, _, log = str(error).partition("\n")
        yield problem("database", message, log or "see the message")


def _whereabouts(where: bootstrap.Postgres) -> str:
    url = postgres_url(where.url)
    if where.is_embedded:
        started = ", started for this look" if where.process else ""
        return f"the embedded Postgres answers{started}: psql -h {url.query['host']} -U {url.username}"
    return f"{url.database or url.username} on {url.host or url.query.get('host', 'this machine')} answers"


async def _inside(
    database: databases.Diagnosis, where: bootstrap.Postgres, settings: Settings, server: AskedServer
) -> AsyncIterator[Finding]:
    facts = await database.postgres()
    for finding in postgres_diagnosis.of_postgres(facts):
        yield finding
    yield postgres_diagnosis.of_writing(database.writing)
    current = await database.revision()
    revision = postgres_diagnosis.of_revision(current, migrating.newest_revision())
    yield revision
    if current is None:
        for finding in postgres_diagnosis.of_room(facts):
            yield finding
    # Of another revision, tables may be missing or not be what is asked for.
    if revision.level is Level.OK and facts.pgvector_is_visible:
        async for finding in _contents(database, where, settings):
            yield finding
        if (comparison := await compared(server, database)) is not None:
            yield comparison


async def _contents(
    database: databases.Diagnosis, where: bootstrap.Postgres, settings: Settings
) -> AsyncIterator[Finding]:
    recorded = await database.model()
    is_as_new = where.is_embedded and await database.holds_only_seeds()
    upcoming = await database.next_model()
    yield await _model(recorded, upcoming, settings, is_as_new=is_as_new and upcoming is None)
    if upcoming is not None:
        yield vector_diagnosis.of_reembedding(upcoming, await database.reembedded())
    create = databases.create_index_statement()
    index = diagnosis.of_index(VECTOR_INDEX_NAME, await database.index(), databases.intended_index(), create=create)
    yield index
    if index.level is not Level.PROBLEM:
        plan = await databases.search_plan(where.url, recorded)
        yield diagnosis.of_plan(VECTOR_INDEX_NAME, plan, create=create)
    yield vector_diagnosis.of_vectors(await database.vectors(recorded))
    yield vector_diagnosis.of_queue(await database.queue())


async def _model(
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
        said = str(error) or f"it took more than {_ENCODING_SECONDS:g} s"
        return warning("model", f"{embedder.model_id} cannot encode text now: {said}", "see to the endpoint")
    finally:
        await embedder.close()
    if upcoming is not None and upcoming.made_by(embedder):
        return ok("model", f"the stored vectors come from {recorded.model_id}, the settings give the next model")
    return diagnosis.of_model(recorded, embedder, is_as_new=is_as_new, fitting=settings_that_fit(recorded))
