"""Promotion of a trace into another namespace: promote."""

from typing import Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.enum_labels import namespace_label
from commontrace.cli.output.printing import join_facts, message_to_dict, print_json
from commontrace.cli.runtime.server_calls import Address, As, Json, TraceId, call_about_trace


def promote(
    trace_id: TraceId,
    *,
    target: Annotated[
        str, typer.Option("--to", metavar="NAMESPACE", help="The namespace to copy it into.", show_default=False)
    ],
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Copy a trace into another namespace, where the copy is yours.

    It starts without votes, and names the trace that it is a copy of to whoever may read that.
    """
    response = call_about_trace(
        trace_id, address, user, lambda client, whole_id: client.promote_trace(whole_id, target)
    )
    outcome = response.WhichOneof("outcome")
    trace = response.existing if outcome == "existing" else response.created
    if as_json:
        print_json({"outcome": outcome, **message_to_dict(trace)})
    else:
        done = "already there:" if outcome == "existing" else "stored"
        print(join_facts(f"{done} {trace.id}", namespace_label(trace.namespace)))
