"""Checks of a running server: version, key, health, and whether its database is the one that doctor sees."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from commontrace import __version__
from commontrace.cli.runtime import server_health
from commontrace.cli.runtime.server_calls import environment_key, take_first
from commontrace.cli.runtime.tls_options import tls_from_options
from commontrace.client import CallFailed, Client, TlsFailed, connect
from commontrace.client.channel_options import SERVICES
from commontrace.client.proxies import proxy_hint
from commontrace.domain.doctor.findings import Finding, ok, problem, warning
from commontrace.storage.doctor.inspector import DatabaseInspector

_CALL_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestTrace:
    """The newest trace that a server lists."""

    trace_id: UUID
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerReport:
    """Findings about a server, and its newest trace: None where it has none, or could not be listed (`is_read`)."""

    address: str
    findings: list[Finding]
    is_there: bool = False
    is_read: bool = False
    newest: NewestTrace | None = None
    accepted_key: str | None = None
    """The key of the environment, where the server answers it."""
    refused_key: str | None = None
    """The key of the environment, where the server rejects it."""


async def check_server(address: str) -> ServerReport:
    """Calls the server, and returns a report with findings of success or failure."""
    tls, key = tls_from_options(), environment_key()
    newest, is_read, refused_key = None, False, None
    try:
        async with connect(address, key=key, deadline=_CALL_SECONDS, tls=tls or False) as client:
            version = (await client.service_info()).version
            newest, is_read = await _find_newest(client), True
    except ValueError as error:
        is_of_key = str(error).startswith("key")
        advice = "correct COMMONTRACE_KEY, or unset it" if is_of_key else "give --address and the options of TLS"
        return ServerReport(address=address, findings=[problem("server", str(error), advice)])
    except TlsFailed as error:
        advice = "see `commontrace --help` for the options of TLS"
        return ServerReport(address=address, findings=[problem("server", str(error), advice)])
    except CallFailed as error:
        if not error.reason:
            return ServerReport(address=address, findings=[_unreachable(error, address)])
        if error.code.name == "UNAUTHENTICATED":
            advice = (
                "set COMMONTRACE_KEY to a key of `commontrace keys create`:"
                " only then can its database be compared with the one seen here"
            )
            found = warning("server", f"CommonTrace answers on {address}, and asks for a key: {error}", advice)
            refused_key = key
        else:
            found = problem("server", f"CommonTrace on {address} says {error}", "see its log")
    else:
        found = _version(version, address)
    health = await asyncio.to_thread(server_health.check_health, address, SERVICES, seconds=_CALL_SECONDS, tls=tls)
    return ServerReport(
        address=address,
        findings=[found, *(_health(service, status) for service, status in health.services.items())],
        is_there=True,
        is_read=is_read,
        newest=newest,
        accepted_key=key if is_read else None,
        refused_key=refused_key,
    )


async def compare_databases(server: ServerReport, database: DatabaseInspector) -> Finding | None:
    """Returns a finding about whether the server's database is this one, None where that cannot be known.

    The server's newest trace must be in the database, created in the same microsecond: sample traces have the same ids
    in every database.
    """
    if server.refused_key is not None:
        return _other_database(server) if await database.accepts_key(server.refused_key) else None
    if not server.is_read:
        return None
    if server.newest is None:
        if server.accepted_key is not None and await database.accepts_key(server.accepted_key):
            # The namespaces that the key reaches are empty.
            return None
        return _other_database(server) if await database.has_live_traces() else None
    if await database.get_creation_time(server.newest.trace_id) != server.newest.created_at:
        return _other_database(server)
    return ok("server", "its database is the one seen here")


def _other_database(server: ServerReport) -> Finding:
    return problem(
        "server",
        f"the database of the server on {server.address} is another one than that seen here",
        "set DATA_DIR or DATABASE_URL as that server has it: it knows no user and no key that is made here",
    )


async def _find_newest(client: Client) -> NewestTrace | None:
    for trace in await take_first(1, client.list(page_size=1)):
        return NewestTrace(trace_id=UUID(trace.id), created_at=trace.create_time.ToDatetime(tzinfo=UTC))
    return None


def _unreachable(error: CallFailed, address: str) -> Finding:
    if error.code.name == "UNAVAILABLE":
        advice = "start it with commontrace serve; or give --address, or set COMMONTRACE_ADDRESS"
        return warning("server", f"none answers on {address}{proxy_hint(address)}", advice)
    advice = "give --address, or look into its log"
    return problem("server", f"what is on {address} does not answer as CommonTrace does: {error}", advice)


def _version(version: str, address: str) -> Finding:
    answers = f"CommonTrace {version} answers on {address}"
    if version != __version__:
        return warning("server", f"{answers}, this command is {__version__}", "install the same version for both")
    return ok("server", answers)


def _health(service: str, status: str) -> Finding:
    if status == server_health.SERVING:
        return ok("health", f"{service} is {status}")
    return problem("health", f"{service} is {status}", "its database does not answer, or only reads: see its log")
