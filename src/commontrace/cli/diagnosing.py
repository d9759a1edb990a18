"""Asks everything that `commontrace doctor` wants to know, as far as the answers before allow."""

import asyncio
import os
from collections.abc import AsyncIterator

from commontrace import __version__, bootstrap, certificates
from commontrace.cli import server_health
from commontrace.cli.calling import key_of_environment
from commontrace.cli.environment import SettingsWrong, settings_from_environment, with_cause
from commontrace.cli.tls_options import given_tls
from commontrace.client import CallFailed, TlsFailed, connect
from commontrace.client.channel_options import SERVICES
from commontrace.core import diagnosis, vector_diagnosis
from commontrace.core.diagnosis import Finding, Level, ok, problem, warning
from commontrace.core.errors import CommonTraceError
from commontrace.embeddings.choosing import choose_embedder
from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
from commontrace.listening import refuse_open_address
from commontrace.settings import Settings
from commontrace.storage import diagnosis as databases
from commontrace.storage import embedded, engines, migrating
from commontrace.storage.embedding_model_repository import RecordedModel
from commontrace.storage.models import VECTOR_INDEX_NAME

_PATIENCE_SECONDS = 3.0
_ENCODING_SECONDS = 10.0
_REACH = "check host, port and parameters in DATABASE_URL, and that Postgres runs there"
_REPAIR = "repair what the message names, or restore a backup"


async def findings(address: str) -> AsyncIterator[Finding]:
    """Yields what each check found, as soon as it is known. `address` is where the server should be."""
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
        async for finding in _database(settings):
            yield finding
    for finding in await _server(address):
        yield finding


def _settings(settings: Settings) -> Finding:
    try:
        refuse_open_address(settings)
    except bootstrap.NotReady as error:
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


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    if settings.database_url is None and not _is_there(settings):
        yield warning(
            "database",
            f"there is no data of PostgreSQL {settings.embedded_postgres_version} in {settings.data_dir} yet",
            "commontrace serve makes it; or set DATA_DIR, EMBEDDED_POSTGRES_VERSION or DATABASE_URL to where yours is",
        )
        return
    try:
        with bootstrap.postgres(settings, attach=True) as where:
            async with databases.looking_into(where.url) as database:
                yield ok("database", _whereabouts(where))
                async for finding in _inside(database, where, settings):
                    yield finding
    except CommonTraceError as error:
        yield problem("database", with_cause(error), databases.what_to_do(error, otherwise=_REACH))
    except databases.CannotTell as error:
        yield problem("database", with_cause(error), databases.what_to_do(error, otherwise=_REPAIR))
    except engines.SettingRefused as error:
        yield problem("plan", str(error), "connect without whatever stands before Postgres and drops start-up settings")
    except bootstrap.NotReady as error:
        yield problem("database", "DATABASE_URL cannot be used", str(error))
    except embedded.DataDirectoryInUse as error:
        yield problem("database", "its Postgres does not answer (yet)", f"wait for it; else: {error}")
    except embedded.EmbeddedPostgresFailed as error:
        message, _, log = str(error).partition("\n")
        yield problem("database", message, log or "see the message")


def _is_there(settings: Settings) -> bool:
    cluster = settings.data_dir / f"postgres-{settings.embedded_postgres_version}"
    return (cluster / "PG_VERSION").exists() or embedded.attach(settings.data_dir) is not None


def _whereabouts(where: bootstrap.Postgres) -> str:
    url = engines.postgres_url(where.url)
    if where.is_embedded:
        started = ", started for this look" if where.process else ""
        return f"the embedded Postgres answers{started}: psql -h {url.query['host']} -U {url.username}"
    return f"{url.database or url.username} on {url.host or url.query.get('host', 'this machine')} answers"


async def _inside(
    database: databases.Diagnosis, where: bootstrap.Postgres, settings: Settings
) -> AsyncIterator[Finding]:
    facts = await database.postgres()
    for finding in diagnosis.of_postgres(facts):
        yield finding
    revision = diagnosis.of_revision(await database.revision(), migrating.newest_revision())
    yield revision
    # Of another revision, tables may be missing or not be what is asked for.
    if revision.level is Level.OK and facts.pgvector is not None:
        async for finding in _contents(database, where, settings):
            yield finding


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
    return diagnosis.of_model(recorded, embedder, is_as_new=is_as_new)


async def _server(address: str) -> list[Finding]:
    tls = given_tls()
    try:
        async with connect(address, key=key_of_environment(), deadline=_PATIENCE_SECONDS, tls=tls or False) as client:
            version = (await client.service_info()).version
    except ValueError as error:
        return [problem("server", str(error), "give --address and the options of TLS, or set COMMONTRACE_ADDRESS")]
    except TlsFailed as error:
        advice = "see `commontrace --help` for the options of TLS"
        return [problem("server", str(error), advice)]
    except CallFailed as error:
        if error.code.name == "UNAVAILABLE" and not error.reason:
            advice = "start it with commontrace serve; or give --address, or set COMMONTRACE_ADDRESS"
            return [warning("server", f"none answers on {address}", advice)]
        if not error.reason:
            advice = "give --address, or look into its log"
            return [problem("server", f"what is on {address} does not answer as CommonTrace does: {error}", advice)]
        if error.code.name == "UNAUTHENTICATED":
            advice = "set COMMONTRACE_KEY to a key of `commontrace keys create`"
            found = warning("server", f"CommonTrace answers on {address}, and asks for a key: {error}", advice)
        else:
            found = problem("server", f"CommonTrace on {address} says {error}", "see its log")
    else:
        found = _version(version, address)
    health = await asyncio.to_thread(server_health.ask, address, SERVICES, seconds=_PATIENCE_SECONDS, tls=tls)
    return [found, *(_health(service, status) for service, status in health.services.items())]


def _version(version: str, address: str) -> Finding:
    answers = f"CommonTrace {version} answers on {address}"
    if version != __version__:
        return warning("server", f"{answers}, this command is {__version__}", "install the same version for both")
    return ok("server", answers)


def _health(service: str, status: str) -> Finding:
    if status == server_health.SERVING:
        return ok("health", f"{service} is {status}")
    return problem("health", f"{service} is {status}", "its database does not answer: see its log")
