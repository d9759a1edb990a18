"""Votes on traces: vote, votes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.enum_labels import (
    DownReason,
    Verdict,
    down_reason_label,
    person_label,
    status_label,
    vote_label,
)
from commontrace.cli.output.printing import format_minute, message_to_dict, one_line, print_json, print_list
from commontrace.cli.runtime.server_calls import Address, As, Json, TraceId, call_about_trace, take_first
from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import vote_pb2


def vote(
    trace_id: TraceId,
    verdict: Annotated[
        Verdict,
        typer.Argument(
            metavar="VERDICT",
            help="up: it worked. down: it did not. retract: takes your vote back.",
            show_default=False,
        ),
    ],
    *,
    reason: Annotated[DownReason | None, typer.Option(help="Why it is down; required with it.")] = None,
    comment: Annotated[str, typer.Option(metavar="TEXT", help="What others should know.", show_default=False)] = "",
    revision: Annotated[
        int,
        typer.Option(
            min=0, max=limits.REVISIONS, metavar="NUMBER", help="The revision you saw; 0 means the current one."
        ),
    ] = 0,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Say whether a trace worked: up, down, or take it back.

    Nobody votes on a trace of their own; voting again changes the vote.
    """
    if verdict == "retract":
        if reason or comment or revision:
            raise typer.BadParameter("retract takes no --reason, --comment or --revision")
        tally = call_about_trace(trace_id, address, user, lambda client, whole_id: client.retract_vote(whole_id))
        done, fields = "retracted", {"tally": message_to_dict(tally)}
    else:
        response = call_about_trace(
            trace_id,
            address,
            user,
            lambda client, whole_id: client.vote(whole_id, verdict, reason=reason, comment=comment, revision=revision),
        )
        tally, done, fields = response.tally, f"voted {verdict}", message_to_dict(response)
    if as_json:
        print_json(fields)
    else:
        print(f"{done}: {_tally_line(tally)}")


def votes(
    trace_id: TraceId,
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="How many at most.", metavar="COUNT")
    ] = limits.PAGE_ITEMS_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """List who voted how on a trace and why, newest first."""

    async def ask(client: "Client", whole_id: str) -> "list[vote_pb2.Vote]":
        return await take_first(limit, client.votes(whole_id))

    found = call_about_trace(trace_id, address, user, ask)
    print_list(
        found, as_json=as_json, to_dict=message_to_dict, print_items=_print_votes, empty="nobody has voted on it"
    )


def _print_votes(found: "Sequence[vote_pb2.Vote]") -> None:
    from commontrace.cli.output.console import print_line, print_table, standard_output, supports_tables

    console = standard_output()
    if supports_tables(console):
        rows = [
            (
                vote_label(vote),
                down_reason_label(vote),
                str(vote.revision),
                format_minute(vote.update_time).removesuffix(" UTC"),
                "\n".join(filter(None, (person_label(vote.voter_name, vote.voter_id), one_line(vote.comment)))),
            )
            for vote in found
        ]
        print_table(console, ("VOTE", "REASON", "REV", "WHEN (UTC)", "VOTER, COMMENT"), rows)
        return
    for vote in found:
        facts = (
            f"{vote_label(vote):4}  {down_reason_label(vote):9}  revision {vote.revision}",
            format_minute(vote.update_time),
        )
        print_line(
            console, "  ".join((*facts, person_label(vote.voter_name, vote.voter_id), one_line(vote.comment))).rstrip()
        )


def _tally_line(tally: "vote_pb2.TraceTally") -> str:
    votes = f"{tally.confirmation_count} up, {tally.down_count} down"
    return f"{votes}, trust {tally.trust_score:.2f}, {status_label(tally.status)}"
