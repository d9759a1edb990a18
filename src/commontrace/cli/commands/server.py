"""State of a server: health, info."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli import exit_codes
from commontrace.cli.output.enum_labels import scope_label
from commontrace.cli.output.printing import fail, message_to_dict, one_line, print_json, print_note
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server, checked_tls, exit_code_of, silence_grpc

if TYPE_CHECKING:
    from commontrace.v1 import trace_service_pb2

_HEALTH_SECONDS = 2.0


def health(
    service: Annotated[
        str | None,
        typer.Argument(metavar="SERVICE", help="Only this one, such as TraceService.", show_default=False),
    ] = None,
    *,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say in one word whether the server is ready.

    Prints SERVING and ends with 0 if every service is ready. Otherwise it is NOT_SERVING (its database does not
    answer), UNREACHABLE (nobody answers within two seconds, or TLS fails) or SERVICE_UNKNOWN.
    """
    silence_grpc()
    from commontrace.cli.runtime import server_health
    from commontrace.client import CallOptions
    from commontrace.client.channel_options import SERVICES
    from commontrace.client.proxies import proxy_hint

    services = SERVICES if service is None else (_full_name(service, server_health.PACKAGE),)
    try:
        CallOptions(address=address)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from None
    try:
        health = server_health.check_health(address, services, seconds=_HEALTH_SECONDS, tls=checked_tls())
    except UnicodeEncodeError:
        fail("what you give must be UTF-8 text")
    found = health.services
    # The status of the first service that is not ready stands for all.
    status = next((status for status in found.values() if status != server_health.SERVING), server_health.SERVING)
    if as_json:
        print_json({"status": status, "services": found})
    else:
        print(status)
    if health.tls_failed is not None:
        fail(str(health.tls_failed), exit_code_of(health.tls_failed))
    if status == server_health.UNKNOWN:
        raise typer.Exit(exit_codes.NOT_FOUND)
    if status == server_health.UNREACHABLE and (hint := proxy_hint(address)):
        print_note(f"nobody answers on {address}{hint}")
    if status != server_health.SERVING:
        raise typer.Exit(exit_codes.TRY_AGAIN)


def info(
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print a server's version, model and limits, and who you are."""
    answer = call_server(address, user, lambda client: client.service_info())
    if as_json:
        print_json(message_to_dict(answer))
    else:
        _print_info(answer, address)


def _print_info(answer: "trace_service_pb2.GetServiceInfoResponse", address: str) -> None:
    from commontrace.cli.output.console import print_line, standard_output

    model, caller = answer.embedding_model, answer.caller
    similarity = "by words, not by meaning" if model.is_lexical else "by meaning"
    facts = {
        "server": f"CommonTrace {one_line(answer.version)} at {address}",
        "model": f"{one_line(model.id)} ({model.dimensions} dimensions, searches {similarity})",
        "validated from": f"{answer.validation_threshold} up votes on",
        "you are": f"{one_line(caller.email)}, {caller.user_id or 'who has not written anything yet'}",
        "you may": ", ".join(map(scope_label, caller.scopes)),
        **({"bound to": ", ".join(map(one_line, caller.bound_namespaces))} if caller.bound_namespaces else {}),
        **{field.name.replace("_", " "): f"{value:,}" for field, value in answer.limits.ListFields()},
    }
    console, width = standard_output(), max(map(len, facts)) + 2
    for name, value in facts.items():
        print_line(console, f"{name:{width}}{value}")


def _full_name(service: str, package: str) -> str:
    return service if "." in service else f"{package}.{service}"
