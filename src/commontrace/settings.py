"""Settings of the server, from the environment. The command line creates them and passes them down."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from commontrace import DEFAULT_ADDRESS, addresses
from commontrace.data_files import default_database_directory
from commontrace.postgres_memory import parse_megabytes

MAX_DIMENSIONS = 2_000
"""The most that pgvector's HNSW index takes for the `vector` type."""

INSTALLED_MODEL = "all-MiniLM-L6-v2"
"""The id of the local model that is installed with the service."""

LEASE_SECONDS = 60.0
"""The shortest lease, in seconds, of the jobs that a worker takes from the encoding queue (ADR 0017)."""

LONGEST_DELAY_SECONDS = 3600.0
"""The longest delay of a trace in the encoding queue before it is tried again. No lease is longer (ADR 0039)."""

_NAME_CHARACTERS = 200
# As many as `domain.limits.TAGS`; a test compares.
_TAGS_OF_A_TRACE = 20

PUBLIC_ENDPOINT = "https://api.openai.com/v1"


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with a home directory that is not known: write the whole path") from None


# `~` is expanded here: a shell does not expand it in quotes, nor in a file of variables.
_File: TypeAlias = Annotated[Path, AfterValidator(_expanded)]
_Word = BeforeValidator(lambda word: word.strip().lower() if isinstance(word, str) else word)


class Settings(BaseSettings):
    """Settings, frozen. Each field has the variable of its name in capitals; an empty variable counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    listen_address: str = DEFAULT_ADDRESS
    """Host and port to serve on; port 0 picks a free port."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that serve on one port; more than one needs Linux."""
    authentication: Annotated[Literal["open", "keys"], _Word] = "open"
    """`open`: callers are whom they say they are. `keys`: callers need an API key (`commontrace keys create`)."""
    allow_open: bool = False
    """Serve beyond loopback without authentication: everybody who reaches the port may read and write."""
    tls_cert_file: _File | None = None
    """The server's certificate in PEM, followed by those of intermediate authorities. Unset: no TLS."""
    tls_key_file: _File | None = None
    """The private key of the certificate in PEM, without a passphrase."""
    tls_client_ca_file: _File | None = None
    """Authorities of client certificates in PEM. Set: every client needs a certificate of theirs (mutual TLS)."""
    database_url: str | None = None
    """A Postgres >= 16 with pgvector >= 0.8.4. Unset: an embedded Postgres in `data_dir`."""
    allow_unsafe_postgres: bool = False
    """Serve on a Postgres that may lose acknowledged writes, because fsync or the like is off."""
    data_dir: Path = Field(default_factory=default_database_directory, validate_default=True)
    """The directory of the embedded Postgres. Unset: `.data` of the checkout, else the user's data directory."""
    embedded_postgres_version: Literal["16", "18"] = "18"
    """The bundled Postgres version to run; each has data of its own."""
    embedded_shared_buffers: str | None = None
    """Its shared buffers, such as 512MB. Unset: an eighth of the memory of the machine or container."""
    database_pool_size: int = Field(default=10, ge=1, le=200)
    """Connections for searches, as many for other reads, and as many for writes; workers divide them."""
    max_calls: int = Field(default=100, ge=1, le=100_000)
    """The most calls in progress in each worker. Reads may take three quarters of them, and so may writes."""
    max_streams: int = Field(default=200, ge=1, le=100_000)
    """The most exports in progress in each worker, as many watches, and an eighth of that number of imports."""
    quota_reads_per_minute: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """Quota of reads for each user and minute, over all servers of the database. Unset or 0: no limit."""
    quota_writes_per_minute: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """Quota of writes for each user and minute, likewise."""
    quota_tag_names_per_day: int = Field(default=1_000, ge=0, le=1_000_000_000)
    """Quota of new tag names for each user and day (UTC). 0: no limit."""
    embedder: Annotated[Literal["auto", "local", "openai", "lexical"], _Word] = "auto"
    """The embedder. `auto`: the local model, or the lexical embedder if a new database finds no model installed."""
    embedding_model_dir: _File | None = None
    """The directory of a local model (see `docs/embedders.md`). Unset: the installed package's."""
    embedding_model: str | None = None
    """The name of the model: the endpoint's name for it, or the name to give to a directory's model."""
    embedding_base_url: str = PUBLIC_ENDPOINT
    """The OpenAI-compatible endpoint of EMBEDDER=openai, without `/embeddings`."""
    embedding_api_key: SecretStr | None = None
    """The API key of the endpoint. Never logged."""
    embedding_timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    """Seconds that a request to the endpoint may take, its retries included."""
    embedding_dimensions: int = 1536
    """The length of vectors: of the lexical embedder and, if it is set, of hosted models that let callers choose."""
    encoding_worker: bool = True
    """Encode queued traces in the server itself. `commontrace worker` does so in a process of its own."""
    validation_threshold: int = Field(default=2, ge=1, le=1_000_000)
    """The least UP votes of a validated trace. `commontrace recount` applies a changed one to stored traces."""
    reflection: bool = True
    """Serve gRPC reflection, from which grpcurl and `buf curl` read the contract."""
    drain_seconds: float | None = Field(default=None, ge=0, le=600)
    """Seconds of draining after SIGTERM: health says NOT_SERVING, calls are still taken. Unset: 2, on loopback 0."""
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    """Seconds that calls in progress may go on after draining."""
    metrics_address: str | None = None
    """Host and port of metrics and /healthz, over HTTP. Unset: none. Each further worker takes the next port."""
    recall_probe_seconds: float = Field(default=300.0, ge=0, le=86_400)
    """Seconds between probes of the vector index's recall with a stored vector, if there are metrics. 0: never."""
    tracing: bool = False
    """Export a span of every call over OTLP/HTTP, as the variables OTEL_* say; needs `commontrace[otel]`."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _Word] = "info"
    """The least severity of log lines. `info` has one line a call."""

    @field_validator("listen_address", "metrics_address")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address is not None:
            addresses.parse(address)
        return address

    @field_validator("embedded_shared_buffers")
    @classmethod
    def _is_size(cls, size: str | None) -> str | None:
        return None if size is None else f"{parse_megabytes(size)}MB"

    @field_validator("data_dir")
    @classmethod
    def _is_whole(cls, directory: Path, others: ValidationInfo) -> Path:
        if others.data.get("database_url") is not None:
            return directory
        try:
            return directory.expanduser().absolute()
        except RuntimeError:
            raise ValueError(
                f"{directory} begins with a home directory that is not known: set a whole path, or DATABASE_URL"
            ) from None
        except OSError as error:
            raise ValueError(f"the current directory cannot be used: {error.strerror}") from None

    @field_validator("quota_tag_names_per_day")
    @classmethod
    def _has_room_for_a_trace(cls, names: int) -> int:
        if 0 < names < _TAGS_OF_A_TRACE:
            raise ValueError(f"must be 0, for no limit, or at least {_TAGS_OF_A_TRACE}, as many as one trace may bring")
        return names

    @field_validator("tls_key_file")
    @classmethod
    def _has_certificate(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        # Absent if it is invalid itself.
        certificate = others.data.get("tls_cert_file", file)
        if (file is None) != (certificate is None):
            raise ValueError("goes with TLS_CERT_FILE: set both, or none")
        return file

    @field_validator("tls_client_ca_file")
    @classmethod
    def _has_tls(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file is not None and others.data.get("tls_cert_file", file) is None:
            raise ValueError(
                "admits clients by their certificates, for which the server needs its own: set TLS_CERT_FILE"
            )
        return file

    def metrics_address_of(self, worker: int) -> str | None:
        """Returns the metrics address of a worker, numbered from 0."""
        host, _, port = (self.metrics_address or "").rpartition(":")
        return f"{host}:{int(port) + worker}" if port not in {"", "0"} else self.metrics_address

    @property
    def embedded_shared_megabytes(self) -> int | None:
        """EMBEDDED_SHARED_BUFFERS in megabytes, None if it is unset."""
        return None if self.embedded_shared_buffers is None else parse_megabytes(self.embedded_shared_buffers)

    @property
    def encoding_lease_seconds(self) -> float:
        """The lease of encoding jobs in seconds, long enough for a slow endpoint (ADR 0017)."""
        return max(LEASE_SECONDS, 2 * self.embedding_timeout_seconds)

    @property
    def asked_dimensions(self) -> int | None:
        """EMBEDDING_DIMENSIONS, None if it is unset."""
        return self.embedding_dimensions if "embedding_dimensions" in self.model_fields_set else None

    @field_validator("embedding_model_dir")
    @classmethod
    def _is_directory(cls, directory: Path | None, others: ValidationInfo) -> Path | None:
        if directory is None or others.data.get("embedder") not in {"auto", "local"}:
            return directory
        try:
            problem = "" if directory.is_dir() else "is no directory" if directory.exists() else "does not exist"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise ValueError(f"{directory} {problem}: name the directory that holds the model's config.json")
        return directory

    @field_validator("embedding_model")
    @classmethod
    def _names_what_can_be_named(cls, name: str | None, others: ValidationInfo) -> str | None:
        if name is None:
            return None
        if not (len(name) <= _NAME_CHARACTERS and all("!" <= character <= "~" for character in name)):
            raise ValueError(f"must be up to {_NAME_CHARACTERS} printable ASCII characters without spaces")
        embedder = others.data.get("embedder")
        if (
            embedder in {"auto", "local"}
            and others.data.get("embedding_model_dir", "") is None
            and name != INSTALLED_MODEL
        ):
            raise ValueError(
                f"EMBEDDER is {embedder} and the installed model is called {INSTALLED_MODEL}: set EMBEDDER=openai for a"
                " hosted model, EMBEDDING_MODEL_DIR for one of your own, or unset it"
            )
        return name

    @field_validator("embedding_base_url")
    @classmethod
    def _is_endpoint(cls, url: str, others: ValidationInfo) -> str:
        if others.data.get("embedder") == "auto" and url != PUBLIC_ENDPOINT:
            raise ValueError("EMBEDDER is auto, which asks no endpoint: set EMBEDDER=openai as well")
        try:
            parts = urlsplit(url)
            is_usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and url.isprintable()
        except ValueError:
            is_usable = False
        if not is_usable or " " in url:
            raise ValueError("must be an http:// or https:// address, such as http://127.0.0.1:8080/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment; EMBEDDING_API_KEY is for the key")
        if parts.path.rstrip("/").endswith("/embeddings"):
            raise ValueError("must end before /embeddings, which is added")
        return url

    @field_validator("embedding_api_key")
    @classmethod
    def _is_key(cls, key: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if (
            key is None
            and others.data.get("embedder") == "openai"
            and others.data.get("embedding_base_url") == PUBLIC_ENDPOINT
        ):
            raise ValueError("is required for the public endpoint; EMBEDDING_BASE_URL names another one")
        if key is not None and not all("!" <= character <= "~" for character in key.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces or line breaks")
        return key

    @field_validator("embedding_dimensions")
    @classmethod
    def _fits_the_index(cls, dimensions: int) -> int:
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(
                f"must be 1 to {MAX_DIMENSIONS}, all that pgvector's index takes; many models can make shorter vectors"
            )
        return dimensions
