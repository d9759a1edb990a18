"""Notes on a search: why there are no more hits, and whether those that there are will help."""

from commontrace.cli.output.printing import one_line, print_note
from commontrace.domain.namespaces.namespace import COMMONS
from commontrace.plurals import counted
from commontrace.v1 import trace_service_pb2


def print_search_notes(summary: trace_service_pb2.SearchSummary, *, with_verdict: bool) -> None:
    """Prints what the summary says of hits that are missing, and `with_verdict` of those that hardly help."""
    for tag in summary.unknown_tags:
        print_note(f"no trace has the tag {tag}")
    if summary.stop_reason == trace_service_pb2.STOP_REASON_SCAN_BUDGET:
        print_note("there was no time for a complete search: there may be more")
    if summary.stop_reason == trace_service_pb2.STOP_REASON_MIN_PROBABILITY:
        print_note(f"an answer is too improbable ({_probability(summary)})")
    elif summary.hit_count:
        if with_verdict and summary.verdict == trace_service_pb2.VERDICT_UNLIKELY:
            print_note(f"no trace is close in meaning: an answer is unlikely ({_probability(summary)})")
    elif summary.near_miss_count:
        print_note(f"at least {counted(summary.near_miss_count, 'traces')} less similar than asked for")
    if not summary.hit_count:
        _print_searched_namespaces(summary)
    if summary.pending_count == 1:
        print_note("1 trace waits for its vector: no search finds it yet")
    elif summary.pending_count:
        print_note(f"{summary.pending_count} traces wait for their vector: no search finds them yet")


def _print_searched_namespaces(summary: trace_service_pb2.SearchSummary) -> None:
    """Prints where was looked, unless that was `commons` alone; an older server names no namespaces."""
    names = list(summary.searched_namespaces)
    if names in ([], [COMMONS]):
        return
    others = summary.searched_namespace_count - len(names)
    print_note(f"looked in {', '.join(map(one_line, names))}" + (f" and {others} more" if others > 0 else ""))


def _probability(summary: trace_service_pb2.SearchSummary) -> str:
    return f"probability {summary.answer_probability:.0%}".replace("%", " %")
