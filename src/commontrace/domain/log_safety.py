"""Log safety: failures without secrets and without users' texts (ADR 0033)."""

from commontrace.domain.errors import CommonTraceError, OperatorNeeded
from commontrace.embeddings.embedder import EmbedderUnavailable


def safe_message(error: Exception) -> str:
    """Returns the message of an error of ours, else the name of its class: other messages may repeat a text."""
    is_ours = isinstance(error, CommonTraceError | EmbedderUnavailable)
    return str(error) if is_ours and str(error) else type(error).__name__


def operator_facts(error: OperatorNeeded) -> dict[str, str]:
    """Returns the fields of a log line about a database that its operator has to mend."""
    return {"why": str(error), "advice": error.advice, "sqlstate": error.sqlstate}
