"""What the narrow table of the filtered searches must hold."""

from tests.conftest import query

_OUT_OF_DATE = """
    SELECT count(*) FROM traces FULL JOIN trace_signs ON trace_id = id
    WHERE (signs, trace_signs.status, trace_signs.contributor_id, trace_signs.agent_model, trace_signs.created_at,
            is_live, is_current, tag_ids)
        IS DISTINCT FROM (binary_quantize(embedding), traces.status, traces.contributor_id, traces.agent_model,
            traces.created_at, deleted_at IS NULL, superseded_by_id IS NULL,
            ARRAY(SELECT tag_id FROM trace_tags WHERE trace_tags.trace_id = id ORDER BY tag_id))"""


async def out_of_date(url: str) -> int:
    """How many traces have a row that is wrong or missing, or a row without a trace."""
    [(count,)] = await query(url, _OUT_OF_DATE)
    return int(count)
