"""Fields of requests: all texts and byte strings, those in nested messages included, and which of them name nothing."""

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)

NAMES_NOTHING: Mapping[str, str] = {
    "title": "text",
    "context": "text",
    "solution": "text",
    "description": "text",
    "comment": "text",
    "reason": "text",
    "text": "text of a query: rows of SearchTraces name nothing by it",
    "agent_model": "text",
    "agent_version": "text",
    "agent_models": "text",
    "metadata": "free-form",
    "embedding": "a vector: the rows `its vector`",
    "packed_f32": "a vector",
    "model_id": "the embedding model",
    "update_mask": "names of fields",
    "paths": "names of fields",
    "etag": "the version of what another field names",
    "request_id": "of the caller and the RPC: test_leaks.py repeats requests after a revocation",
    "import_id": "of the caller: test_leaks.py repeats an import after a revocation",
    "page_token": "a position: test_leaks.py hands tokens to others",
    "resume_token": "a position: test_leaks.py hands tokens to others",
    "cursor": "a position: test_leaks.py hands tokens to others",
}
"""Names of fields that name no trace, tag, vote, namespace or user, with what they are."""

OUTPUT_ONLY: Mapping[str, tuple[str, ...]] = {
    "/commontrace.v1.TraceService/UpdateTrace": (
        "trace.contributor_id",
        "trace.supersedes_trace_id",
        "trace.superseded_by_trace_id",
        "trace.hide_reason",
        "trace.promoted_from_trace_id",
    ),
    "/commontrace.v1.TagService/UpdateTag": ("tag.aliases",),
}
"""Fields of a message that an update carries, which no mask may name."""


def text_fields(message: Descriptor, prefix: str = "") -> Iterator[str]:
    """Yields the paths of the texts of a request, without those of well-known types."""
    for field in message.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is not None:
            if field.message_type.full_name.startswith("commontrace."):
                yield from text_fields(field.message_type, f"{path}.")
        elif field.type in _TEXTS:
            yield path


def names_nothing(field: str, rpc: str) -> bool:
    """Returns whether the field is one of those that name nothing, or cannot be set."""
    return field.rpartition(".")[2] in NAMES_NOTHING or field in OUTPUT_ONLY.get(rpc, ())
