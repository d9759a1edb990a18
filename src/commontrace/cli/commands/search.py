"""Search of traces by meaning: search."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.ids import Ids, print_ids, require_one_format
from commontrace.cli.output.printing import message_to_dict, print_json
from commontrace.cli.output.untrusted import UNTRUSTED_FIELDS
from commontrace.cli.runtime.filters import AnyTags, Namespaces, Status, Tags, WithoutTags, build_trace_filter
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server
from commontrace.cli.runtime.short_ids import parse_uuid, resolve_trace_id
from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client, SearchHits
    from commontrace.client.requests import Ranking


class RankingName(StrEnum):
    """Rankings of hits, as people type them."""

    COSINE = "cosine"
    TRUST_WEIGHTED = "trust-weighted"
    HYBRID = "hybrid"
    BEST = "best"


_RANKINGS: "dict[RankingName, Ranking]" = {
    RankingName.COSINE: "cosine",
    RankingName.TRUST_WEIGHTED: "trust_weighted",
    RankingName.HYBRID: "hybrid",
    RankingName.BEST: "best",
}


def search(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="A question, an error message, a few words.", show_default=False)
    ] = "",
    *,
    like: Annotated[str | None, typer.Option(metavar="ID", help="Find traces like this one instead.")] = None,
    tag: Tags = None,
    any_tag: AnyTags = None,
    without_tag: WithoutTags = None,
    status: Status = None,
    namespace: Namespaces = None,
    min_similarity: Annotated[
        float | None, typer.Option(min=-1, max=1, metavar="NUMBER", help="The least similarity to print.")
    ] = None,
    min_probability: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="NUMBER",
            help="Print nothing where an answer is less probable than this.",
            show_default=False,
        ),
    ] = 0.0,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every trace instead of trusting the index.")] = False,
    ranking: Annotated[
        RankingName | None,
        typer.Option(
            help="By similarity (cosine), also by votes (trust-weighted), also by the words of the text (hybrid), or in"
            " the best order that the server has (best). By default best; cosine with --like, or for more than 100."
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print what each hit's place is made of.")] = False,
    with_summary: Annotated[
        bool, typer.Option("--summary", help="With --json, print the summary of the search in a last line.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=limits.SEARCH_HITS, help="How many at most.", metavar="COUNT")
    ] = 5,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    ids_only: Ids = False,
    as_json: Json = False,
) -> None:
    """Search traces by meaning and by words, the best first.

    The number before a title is its similarity in meaning. The order goes by it alone with --ranking cosine.
    """
    require_one_format(ids_only=ids_only, as_json=as_json)
    if bool(text) == (like is not None):
        raise typer.BadParameter("give either a text or --like ID")
    if min_probability and not text:
        raise typer.BadParameter("--min-probability needs a text: only answers to a question have a probability")
    if with_summary and not as_json:
        raise typer.BadParameter("--summary needs --json")

    async def ask(client: "Client") -> "SearchHits":
        trace_filter = await build_trace_filter(
            client, tags=tag, any_tags=any_tag, without_tags=without_tag, status=status, namespaces=namespace
        )
        return await client.search(
            text if like is None else await _similar_to(like, client),
            limit=limit,
            full=not ids_only,
            filter=trace_filter,
            min_similarity=min_similarity,
            min_probability=min_probability,
            exact=exact,
            ranking=None if ranking is None else _RANKINGS[ranking],
            explain=explain,
        )

    from commontrace.cli.output.search_notes import print_search_notes

    hits = call_server(address, user, ask)
    print_search_notes(hits.summary, with_verdict=not (ids_only or as_json))
    if ids_only:
        print_ids(hit.trace for hit in hits)
    elif as_json:
        for hit in hits:
            trace = message_to_dict(hit.trace)
            explanation = {"explanation": message_to_dict(hit.explanation)} if explain else {}
            print_json(
                {
                    "title": trace.pop("title"),
                    "similarity": round(hit.similarity, 6),
                    **explanation,
                    **trace,
                    **UNTRUSTED_FIELDS,
                }
            )
        if with_summary:
            print_json({"summary": message_to_dict(hits.summary)})
    elif hits:
        from commontrace.cli.output.traces import print_hits

        print_hits(hits)
    else:
        print("nothing found")


async def _similar_to(trace_id: str, client: "Client") -> UUID:
    """Returns the id of the trace that hits are to resemble."""
    whole_id = await resolve_trace_id(trace_id, client)
    return parse_uuid(whole_id, f"{whole_id!r} is not the id of a trace")
