"""The command that votes."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.calling import Address, As, Json, TraceId, call
from commontrace.cli.output import as_dict, json_line
from commontrace.cli.trace_output import status_name

# Imported when a command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from commontrace.v1 import vote_pb2

_REVISIONS = (1 << 31) - 1


def vote(
    trace_id: TraceId,
    verdict: Annotated[
        Literal["up", "down", "retract"],
        typer.Argument(help="up: it worked. down: it did not. retract: takes your vote back.", show_default=False),
    ],
    *,
    reason: Annotated[
        Literal["outdated", "incorrect", "harmful", "duplicate", "spam"] | None,
        typer.Option(help="Why it is down; required with it."),
    ] = None,
    comment: Annotated[str, typer.Option(help="What others should know.")] = "",
    revision: Annotated[
        int,
        typer.Option(min=0, max=_REVISIONS, metavar="NUMBER", help="The revision you saw; 0 means the current one."),
    ] = 0,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Say whether another's trace worked; voting again changes your vote."""
    if verdict == "retract":
        if reason or comment or revision:
            raise typer.BadParameter("retract takes no --reason, --comment or --revision")
        tally = call(address, user, lambda client: client.retract_vote(trace_id))
        done, fields = "retracted", {"tally": as_dict(tally)}
    else:
        response = call(
            address,
            user,
            lambda client: client.vote(trace_id, verdict, reason=reason, comment=comment, revision=revision),
        )
        tally, done, fields = response.tally, f"voted {verdict}", as_dict(response)
    if as_json:
        json_line(fields)
    else:
        print(f"{done}: {_standing(tally)}")


def _standing(tally: "vote_pb2.TraceTally") -> str:
    votes = f"{tally.confirmation_count} up, {tally.down_count} down"
    return f"{votes}, trust {tally.trust_score:.2f}, {status_name(tally.status)}"
