"""The vector index: HNSW over the halves of the vectors, 16 bits for each component (ADR 0062).

Its expression names the dimensions, because HNSW needs a type that has them; a database has those of its model.
"""

VECTOR_INDEX_NAME = "ix_traces_embedding_hnsw"
METHOD = "hnsw"
OPERATOR_CLASS = "halfvec_cosine_ops"
OPTIONS = {"m": 16, "ef_construction": 64}


def halves_sql(column: str, dimensions: int) -> str:
    """Returns the expression that the index holds, as Postgres prints it."""
    return f"({column}::halfvec({dimensions:d}))"


def definition_sql(column: str, dimensions: int) -> str:
    """Returns the part of CREATE INDEX behind the table's name, for an index over a column of `traces`."""
    options = ", ".join(f"{name} = {value}" for name, value in OPTIONS.items())
    return f"USING {METHOD} ({halves_sql(column, dimensions)} {OPERATOR_CLASS}) WITH ({options})"


def create_index_sql(dimensions: int, *, concurrently: bool = False) -> str:
    """Returns the statement that creates the vector index, `concurrently` without holding writers up."""
    concurrent = "CONCURRENTLY " if concurrently else ""
    return f"CREATE INDEX {concurrent}{VECTOR_INDEX_NAME} ON traces {definition_sql('embedding', dimensions)}"
