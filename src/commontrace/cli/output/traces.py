"""Traces, hits and revisions as text for people."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from commontrace.cli.output.console import print_entry, print_line, print_text, standard_output
from commontrace.cli.output.enum_labels import is_encoding_pending, namespace_label, person_label, status_label
from commontrace.cli.output.printing import format_day, format_minute, join_facts, one_line
from commontrace.cli.output.untrusted import marked_untrusted, quoted

if TYPE_CHECKING:
    from commontrace.v1 import trace_pb2, trace_service_pb2


def print_hits(hits: "Iterable[trace_service_pb2.SearchHit]") -> None:
    """Prints search hits: similarity, title, status and id of each."""
    console = standard_output()
    for hit in hits:
        print_entry(
            console, Text.assemble((f"{hit.similarity:6.3f}  ", "bold cyan"), (quoted(hit.trace.title), "bold"))
        )
        print_entry(console, f"        {_status_line(hit.trace)}", "dim")
        if hit.HasField("explanation"):
            print_entry(console, f"        {_explanation_line(hit.explanation)}", "dim")
        print_line(console, f"        {hit.trace.id}", "dim")


def print_traces(traces: "Iterable[trace_pb2.Trace]") -> None:
    """Prints two lines for each trace: its title; its id, day and status."""
    console = standard_output()
    for trace in traces:
        deleted = "deleted  " if trace.HasField("delete_time") else ""
        print_entry(console, one_line(trace.title), "bold")
        print_entry(console, f"  {trace.id}  {format_day(trace.create_time)}  {deleted}{_status_line(trace)}", "dim")


def print_trace(trace: "trace_pb2.Trace") -> None:
    """Prints a trace in full."""
    console = standard_output()
    trust = f"  trust {trace.trust_score:.2f}" if _vote_counts(trace) else ""
    print_line(console, one_line(trace.title), "bold")
    print_line(console, f"{_status_line(trace)}{trust}", "dim")
    print_line(console, f"{trace.id}  revision {trace.revision}  {format_minute(trace.create_time)}", "dim")
    if trace.superseded_by_trace_id:
        print_line(console, f"replaced by {trace.superseded_by_trace_id}", "bold yellow")
    if trace.supersedes_trace_id:
        print_line(console, f"replaces {trace.supersedes_trace_id}", "dim")
    if trace.promoted_from_trace_id:
        print_line(console, f"promoted from {trace.promoted_from_trace_id}", "dim")
    with marked_untrusted(console):
        print_text(console, "Context", trace.context)
        print_text(console, "Solution", trace.solution)


def print_revisions(revisions: "Iterable[trace_service_pb2.TraceRevision]", *, full: bool) -> None:
    """Prints the revisions of a trace, with `full` their context and solution, too."""
    console = standard_output()
    for revision in revisions:
        what = "first" if revision.revision == 1 else f"changed {', '.join(revision.changed_fields)}"
        print_line(console, f"revision {revision.revision}  {format_minute(revision.create_time)}  {what}", "bold cyan")
        print_line(console, f"  {one_line(revision.title)}")
        print_line(console, f"  by {person_label(revision.editor_name, revision.editor_id)}", "dim")
        if full:
            with marked_untrusted(console):
                print_text(console, "Context", revision.context)
                print_text(console, "Solution", revision.solution)
            console.print()


def _explanation_line(explanation: "trace_service_pb2.HitExplanation") -> str:
    parts = [f"score {explanation.score:.4f}"]
    if explanation.HasField("vector_rank"):
        parts.append(f"by vector {explanation.vector_rank}")
    if explanation.HasField("lexical_rank"):
        parts.append(f"by words {explanation.lexical_rank}")
    if explanation.HasField("token_similarity"):
        parts.append(f"by tokens {explanation.token_similarity:.4f}")
    if explanation.trust_bonus:
        parts.append(f"by votes {explanation.trust_bonus:+.4f}")
    return "  ".join(parts)


def _status_line(trace: "trace_pb2.Trace") -> str:
    tags = " ".join(f"#{tag}" for tag in trace.tags)
    waits = "not encoded yet" if is_encoding_pending(trace) else ""
    return join_facts(status_label(trace.status), waits, namespace_label(trace.namespace), tags, _vote_counts(trace))


def _vote_counts(trace: "trace_pb2.Trace") -> str:
    if not (trace.confirmation_count or trace.down_count):
        return ""
    return f"+{trace.confirmation_count} -{trace.down_count}"
