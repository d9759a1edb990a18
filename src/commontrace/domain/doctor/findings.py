"""Findings of the doctor, and the checks of the embedding model and of the vector index."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.local.text_reading import is_outdated
from commontrace.embeddings.model import RecordedModel


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check, in one line, and the advice, empty if nothing is to be done."""

    check: str
    level: Level
    message: str
    advice: str = ""


def ok(check: str, message: str) -> Finding:
    """Returns the finding of a check that passed."""
    return Finding(check=check, level=Level.OK, message=message)


def warning(check: str, message: str, advice: str) -> Finding:
    """Returns a finding that may be intended."""
    return Finding(check=check, level=Level.WARNING, message=message, advice=advice)


def problem(check: str, message: str, advice: str) -> Finding:
    """Returns a finding that has to be mended."""
    return Finding(check=check, level=Level.PROBLEM, message=message, advice=advice)


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorIndex:
    """Definition of the vector index (HNSW): `options` are m and ef_construction, `held` is a column or expression."""

    is_valid: bool
    method: str
    held: str
    operator_class: str
    options: Mapping[str, str]


def check_model(
    recorded: RecordedModel, embedder: Embedder, *, is_as_new: bool, is_moving: bool, fitting: str
) -> Finding:
    """Compares the database's model with the settings'. `is_as_new`: the database's can still be changed.

    `is_moving`: the database is being re-encoded, and its present vectors are on their way out.
    `fitting` are settings that give the database's model.
    """
    stored = f"{recorded.model_id} {recorded.model_version} of {recorded.dimensions} dimensions"
    if not recorded.made_by(embedder):
        given = f"{embedder.model_id} {embedder.model_version} of {embedder.dimensions}"
        message = f"the stored vectors come from {stored}, the settings give {given}"
        if is_as_new:
            return warning("model", message, "nothing: the next `commontrace serve` encodes the samples anew")
        advice = (
            f"start the server with {fitting}, or move the database to the model of the settings"
            " with commontrace reembed, or give the server a database of its own"
        )
        return problem("model", message, advice)
    if recorded.is_lexical:
        return warning(
            "model",
            f"searches compare words, not meaning: {stored}",
            "to search by meaning, start on a new database with the local model installed (`make serve` installs it)"
            " and without EMBEDDER=lexical",
        )
    if is_outdated(recorded) and not is_moving:
        return warning(
            "model",
            f"{stored} are of an older reading of texts, which finds less",
            "commontrace reembed renews them while servers go on",
        )
    return ok("model", f"{stored}, as the settings give")


def check_index(
    name: str, found: VectorIndex | None, expected: VectorIndex, *, create: str, is_importing: bool
) -> Finding:
    """Compares the vector index with that of the migrations; `create` is the statement that creates it.

    `is_importing`: a bulk import runs, which drops the index and builds it again.
    """
    rebuild = f"psql: DROP INDEX CONCURRENTLY {name}; {create}"
    meanwhile = "until it is there, every search goes by the signs of all vectors"
    if (found is None or not found.is_valid) and is_importing:
        return warning(
            "index",
            f"{name} is being rebuilt by a bulk import: {meanwhile}",
            "nothing: the import builds it when all traces are stored",
        )
    if found is None:
        return problem(
            "index",
            f"{name} is missing, and nobody builds it: {meanwhile}",
            f"if a bulk import was broken off, run the same command again; else psql: {create}",
        )
    if not found.is_valid:
        return problem(
            "index",
            f"{name} is invalid, building it was broken off: {meanwhile}",
            "if a bulk import was broken off, run the same command again;"
            f" else psql: REINDEX INDEX CONCURRENTLY {name}",
        )
    if _kind(found) != _kind(expected):
        return problem("index", f"{name} is {_kind(found)}, searches need {_kind(expected)}", rebuild)
    if found.options != expected.options:
        return warning(
            "index",
            f"{name} has {_listed(found.options)} instead of {_listed(expected.options)}: searches find less, or take"
            " longer, than was measured",
            rebuild,
        )
    return ok("index", f"{name}: {_kind(found)}, {_listed(found.options)}")


def check_plan(name: str, plan: str, *, create: str) -> Finding:
    """Checks that Postgres answers a search from the vector index; `plan` is the output of EXPLAIN."""
    if f"Index Scan using {name} on traces" in plan:
        return ok("plan", f"searches use {name}")
    instead = next((line.strip(" ->") for line in plan.splitlines() if " on traces" in line), plan.partition("\n")[0])
    return problem(
        "plan",
        f"searches do not use {name}, but: {instead}",
        f"psql: ANALYZE traces; and if that does not help: DROP INDEX CONCURRENTLY {name}; {create}",
    )


def _kind(index: VectorIndex) -> str:
    return f"{index.method} over {index.held} with {index.operator_class}"


def _listed(options: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(options.items()))
