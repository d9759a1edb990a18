"""Translation of the description of a server."""

from commontrace.domain import limits
from commontrace.embeddings.model import Model
from commontrace.v1 import trace_service_pb2


def embedding_model_message(model: Model) -> trace_service_pb2.EmbeddingModel:
    """Returns the description of the embedding model."""
    return trace_service_pb2.EmbeddingModel(
        id=model.model_id,
        version=model.model_version,
        dimensions=model.dimensions,
        is_lexical=model.is_lexical,
    )


def limits_message() -> trace_service_pb2.Limits:
    """Returns the limits of requests and responses."""
    return trace_service_pb2.Limits(
        title_characters=limits.TITLE_CHARACTERS,
        context_characters=limits.CONTEXT_CHARACTERS,
        solution_characters=limits.SOLUTION_CHARACTERS,
        tags=limits.TAGS,
        tag_characters=limits.TAG_CHARACTERS,
        agent_model_characters=limits.AGENT_MODEL_CHARACTERS,
        agent_version_characters=limits.AGENT_VERSION_CHARACTERS,
        metadata_bytes=limits.METADATA_BYTES,
        metadata_levels=limits.METADATA_LEVELS,
        metadata_values=limits.METADATA_VALUES,
        query_characters=limits.QUERY_CHARACTERS,
        search_hits=limits.SEARCH_HITS,
        request_bytes=limits.REQUEST_BYTES,
        filter_values=limits.FILTER_VALUES,
        page_items=limits.PAGE_ITEMS,
        batch_get_traces=limits.BATCH_GET_TRACES,
        vote_comment_characters=limits.VOTE_COMMENT_CHARACTERS,
        tag_description_characters=limits.TAG_DESCRIPTION_CHARACTERS,
        resolve_tags=limits.RESOLVE_TAGS,
        import_items=limits.IMPORT_ITEMS,
        export_traces=limits.EXPORT_TRACES,
        hide_reason_characters=limits.HIDE_REASON_CHARACTERS,
        namespace_name_characters=limits.NAMESPACE_NAME_CHARACTERS,
        namespace_description_characters=limits.NAMESPACE_DESCRIPTION_CHARACTERS,
    )
