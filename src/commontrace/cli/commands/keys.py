"""API keys of users: `keys create`, `keys list`, `keys rotate`, `keys revoke` (ADR 0027)."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from commontrace.cli.commands.users import Email, normalized_email
from commontrace.cli.output.printing import one_line, print_json, print_list, print_note
from commontrace.cli.runtime.database_session import run_in_unit_of_work
from commontrace.cli.runtime.durations import parse_duration
from commontrace.cli.runtime.server_calls import Json
from commontrace.cli.runtime.short_ids import parse_uuid, prefix_digits
from commontrace.domain import limits
from commontrace.domain.scopes import BEYOND_NAMESPACES, OF_AN_AGENT, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from commontrace.domain.keys.api_key import ApiKey
    from commontrace.storage.keys.repository import KeyRow
    from commontrace.storage.unit_of_work import UnitOfWork

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.", show_default=False)]
ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", metavar="DURATION", help="Such as 90d; without, it does not expire.")
]


def create_key(
    email: Email,
    *,
    scopes: Annotated[
        list[Scope],
        typer.Option("--scope", metavar="SCOPE", help=f"What the key may be used for: {', '.join(Scope)}; repeatable."),
    ] = list(OF_AN_AGENT),  # noqa: B006 - Typer's own way, never changed
    namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", metavar="NAME", help="Bind the key: it reaches this namespace and no other; repeatable."
        ),
    ] = None,
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="What the key is for, for people.")] = "",
    expires_in: ExpiresIn = None,
    as_json: Json = False,
) -> None:
    """Make an API key for a user and print it, this once.

    Only its hash is stored. A user has two live keys at most, so that one can replace the other.
    """
    from commontrace.core.keys import service as key_service

    shown = one_line(label)
    if len(shown) > limits.KEY_LABEL_CHARACTERS:
        raise typer.BadParameter(f"--label may have {limits.KEY_LABEL_CHARACTERS} characters at most")
    if namespaces and (beyond := set(BEYOND_NAMESPACES) & set(scopes)):
        raise typer.BadParameter(f"a key that is bound with --namespace cannot have the scope {min(beyond)}")
    address, lifetime = normalized_email(email), _lifetime(expires_in)
    key = run_in_unit_of_work(
        lambda work: key_service.create(
            address, set(scopes), work, label=shown, expires_in=lifetime, namespaces=namespaces or ()
        )
    )
    _print_key(key, as_json=as_json)


def rotate_key(
    key_id: KeyId,
    *,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="DURATION", help="How long the old key goes on, such as 12h.")
    ] = "1d",
    expires_in: ExpiresIn = None,
    as_json: Json = False,
) -> None:
    """Make a key that replaces another, and let the old one end."""
    from commontrace.core.keys import service as key_service

    remaining, lifetime = parse_duration(overlap), _lifetime(expires_in)

    async def replace(work: "UnitOfWork") -> "ApiKey":
        return await key_service.rotate(
            await _resolve_key_id(key_id, work), work, overlap=remaining, expires_in=lifetime
        )

    key = run_in_unit_of_work(replace)
    _print_key(key, as_json=as_json)


def revoke_key(key_id: KeyId) -> None:
    """End a key at once, on every server."""
    from commontrace.core.keys import service as key_service

    async def end(work: "UnitOfWork") -> "KeyRow":
        return await key_service.revoke(await _resolve_key_id(key_id, work), work)

    old = run_in_unit_of_work(end)
    print(f"revoked {old.id}, a key of {one_line(old.email)}")


def list_keys(
    email: Annotated[str | None, typer.Argument(metavar="EMAIL", help="Only this user's.", show_default=False)] = None,
    *,
    as_json: Json = False,
) -> None:
    """List keys: whose they are, what they may, and whether they still work."""
    whose = None if email is None else normalized_email(email)

    async def ask(work: "UnitOfWork") -> "Sequence[KeyRow]":
        return await work.keys.list(whose)

    found = run_in_unit_of_work(ask)
    print_list(found, as_json=as_json, to_dict=_to_dict, print_items=_print_keys, empty="no keys")


def _print_key(key: "ApiKey", *, as_json: bool) -> None:
    if as_json:
        print_json({"id": str(key.id), "key": key.text})
        return
    # Alone on standard output, for scripts.
    print(key.text)
    print_note(
        "this is the only time it is shown: callers send it as `authorization: Bearer ...`, commands as COMMONTRACE_KEY"
    )


def _to_dict(key: "KeyRow") -> "dict[str, Any]":
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {
        "id": str(key.id),
        "email": key.email,
        "state": key.state,
        "scopes": list(key.scopes),
        "namespaces": None if key.namespaces is None else list(key.namespaces),
        "label": key.label,
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
    }


def _print_keys(found: "Sequence[KeyRow]") -> None:
    from commontrace.cli.output.console import print_line, standard_output

    console = standard_output()
    for key in found:
        facts = (
            f"{key.id}  {key.state.lower():7}  {one_line(key.email)}",
            f"    may {', '.join(key.scopes)}"
            + ("" if key.namespaces is None else f" in {', '.join(map(one_line, key.namespaces)) or 'no namespace'}"),
            f"    made {key.created_at:%Y-%m-%d}"
            + (f", expires {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "")
            + (f", revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "")
            + (f", last used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else ", never used")
            + (f", for {one_line(key.label)}" if key.label else ""),
        )
        for line in facts:
            print_line(console, line)


def _lifetime(expires_in: str | None) -> timedelta | None:
    return None if expires_in is None else parse_duration(expires_in)


async def _resolve_key_id(given: str, work: "UnitOfWork") -> UUID:
    """Returns the id of the one key with that id or prefix. Raises typer.BadParameter for none and for several."""
    # Does not repeat what was given, which may be the key itself.
    problem = "that is not the id of one key: `commontrace keys list` shows them"
    digits = prefix_digits(given)
    if digits is None:
        return parse_uuid(given, problem)
    found = [key.id for key in await work.keys.list(None) if key.id.hex.startswith(digits)]
    if len(found) != 1:
        raise typer.BadParameter(problem)
    return found[0]
