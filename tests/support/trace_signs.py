"""Consistency of derived tables: the sign vectors and filters of traces, and their words."""

from tests.conftest import query

_SIGNS_OUT_OF_DATE = """
    SELECT count(*) FROM traces FULL JOIN trace_signs ON trace_id = id
    WHERE (signs, trace_signs.status, trace_signs.contributor_id, trace_signs.agent_model, trace_signs.created_at,
            is_live, is_current, tag_ids)
        IS DISTINCT FROM (binary_quantize(embedding), traces.status, traces.contributor_id, traces.agent_model,
            traces.created_at, deleted_at IS NULL, superseded_by_id IS NULL,
            ARRAY(SELECT tag_id FROM trace_tags WHERE trace_tags.trace_id = id ORDER BY tag_id))"""


_WORDS_OUT_OF_DATE = """
    SELECT count(*) FROM traces FULL JOIN trace_words ON trace_id = id
    WHERE words IS DISTINCT FROM strip(words_of(title, context_text, solution_text))"""


async def out_of_date(url: str) -> int:
    """How many rows are wrong or missing, or without a trace, in both tables."""
    return await signs_out_of_date(url) + await words_out_of_date(url)


async def signs_out_of_date(url: str) -> int:
    """How many of those of the filtered searches."""
    [(count,)] = await query(url, _SIGNS_OUT_OF_DATE)
    return int(count)


async def words_out_of_date(url: str) -> int:
    """How many of those of the words."""
    [(count,)] = await query(url, _WORDS_OUT_OF_DATE)
    return int(count)
