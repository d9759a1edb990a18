"""What the log may hold of a failure."""

from commontrace.domain.errors import CommonTraceError, OperatorNeeded
from commontrace.embeddings.embedder import EmbedderUnavailable


def safe_message(error: Exception) -> str:
    """Returns what a failure of ours says. Others are named by their kind alone: what they say may repeat a text."""
    is_ours = isinstance(error, CommonTraceError | EmbedderUnavailable)
    return str(error) if is_ours and str(error) else type(error).__name__


def operator_facts(error: OperatorNeeded) -> dict[str, str]:
    """Returns what the log says of a database that has to be mended."""
    return {"why": str(error), "advice": error.advice, "sqlstate": error.sqlstate}
