"""Every setting of the server, from the environment. The command line builds one and passes it down."""

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from commontrace import DEFAULT_ADDRESS
from commontrace.embeddings.embedder import MAX_DIMENSIONS


class Settings(BaseSettings):
    """Frozen. Each field is read from the variable of the same name in capitals; an empty variable counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    listen_address: str = DEFAULT_ADDRESS
    """Host and port to serve on; port 0 picks a free one."""
    allow_open: bool = False
    """Serves without authentication beyond loopback: everybody who reaches the port may read and write."""
    database_url: str | None = None
    """A Postgres >= 16 with pgvector >= 0.8.4. Unset: an embedded Postgres in `data_dir`."""
    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("commontrace", appauthor=False)))
    """Where the embedded Postgres keeps its data."""
    embedded_postgres_version: Literal["16", "18"] = "18"
    """Which of the bundled Postgres versions to run; each keeps data of its own."""
    database_pool_size: int = Field(default=10, ge=1, le=200)
    """Connections for searches, as many again for other reads and for writes."""
    embedder: Literal["auto", "local", "lexical"] = "auto"
    """What encodes text. `auto`: the local model, or the lexical embedder where a new database finds no model."""
    embedding_model_dir: Path | None = None
    """The directory with the local model's `model.safetensors` and `tokenizer.json`. Unset: the installed package's."""
    embedding_dimensions: int = Field(default=1536, ge=1, le=MAX_DIMENSIONS)
    """The length of vectors of embedders that can choose it; the local model's is its own, 384."""
    validation_threshold: int = Field(default=2, ge=1, le=1_000_000)
    """UP votes from which on a trace can be validated. `commontrace recount` applies a changed one to stored traces."""
    reflection: bool = True
    """Serves gRPC reflection, which grpcurl and `buf curl` ask for the contract."""
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    """How long calls in progress may go on after SIGTERM or Ctrl-C."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written. `info` has one line a call."""

    @field_validator("listen_address")
    @classmethod
    def _has_port(cls, address: str) -> str:
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isdecimal() and int(port) <= 65535):
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
        return address
