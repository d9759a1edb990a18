"""The vocabulary of tags: tags, describe-tag, merge-tags."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.printing import join_facts, message_to_dict, one_line, print_json, print_list, print_message
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server, take_first
from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import tag_pb2


def tags(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="Only names that start with this.", show_default=False)
    ] = "",
    *,
    curated: Annotated[bool, typer.Option("--curated", help="Only tags that a curator vouches for.")] = False,
    by_use: Annotated[bool, typer.Option("--by-use", help="The most used ones first, instead of by name.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=limits.PAGE_ITEMS, help="How many at most.", metavar="COUNT")
    ] = limits.PAGE_ITEMS_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """List tags and how many traces have them."""

    async def ask(client: "Client") -> "Sequence[tag_pb2.Tag]":
        if by_use:
            return await client.most_used_tags(limit, prefix=prefix, curated_only=curated)
        return await take_first(limit, client.tags(prefix=prefix, curated_only=curated, page_size=limit))

    found = call_server(address, user, ask)
    print_list(found, as_json=as_json, to_dict=message_to_dict, print_items=_print_tags, empty="nothing found")


def describe_tag(
    name: Annotated[str, typer.Argument(metavar="TAG", help="Any spelling of the tag.", show_default=False)],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What belongs under it.", show_default=False)
    ] = None,
    *,
    curated: Annotated[
        bool | None, typer.Option("--curated/--not-curated", help="Whether a curator vouches for it.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Say what belongs under a tag."""
    if text is None and curated is None:
        raise typer.BadParameter("give a text, --curated or --not-curated")
    tag = call_server(address, user, lambda client: client.update_tag(name, description=text, is_curated=curated))
    if as_json:
        print_json(message_to_dict(tag))
    else:
        _print_tags([tag])


def merge_tags(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The name that becomes an alias.", show_default=False)
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The name that stays.", show_default=False)],
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Make one tag an alias of another, on every trace and for good."""
    merged = call_server(address, user, lambda client: client.merge_tags(source, target))
    line = f"{one_line(source)} is now {one_line(merged.tag.name)}; traces changed: {merged.moved_trace_count}"
    print_message(merged, line, as_json=as_json)


def _print_tags(found: "Sequence[tag_pb2.Tag]") -> None:
    from commontrace.cli.output.console import print_line, print_table, standard_output, supports_tables

    console = standard_output()
    facts = [
        (
            f"{tag.trace_count:6}",
            one_line(tag.name),
            "curated" if tag.is_curated else "",
            f"also {', '.join(map(one_line, tag.aliases))}" if tag.aliases else "",
            one_line(tag.description),
        )
        for tag in found
    ]
    if supports_tables(console):
        rows = [
            (count, name, join_facts(curated, also, description)) for count, name, curated, also, description in facts
        ]
        print_table(console, ("TRACES", "TAG", "ABOUT"), rows)
        return
    for line in facts:
        print_line(console, join_facts(*line))
