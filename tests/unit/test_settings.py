from pathlib import Path

import pytest
from pydantic import ValidationError

from commontrace.domain import limits
from commontrace.serving.listening import refuse_open_address
from commontrace.serving.not_ready import NotReady
from tests.conftest import server_settings


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "127.8.9.10:1", "[::1]:50051", "localhost:0"])
def test_loopback_needs_no_permission(address: str) -> None:
    refuse_open_address(server_settings(listen_address=address))


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "example.org:50051", "[fe80::1]:1"])
def test_other_addresses_need_permission(address: str) -> None:
    with pytest.raises(NotReady, match="ALLOW_OPEN=true"):
        refuse_open_address(server_settings(listen_address=address))
    refuse_open_address(server_settings(listen_address=address, allow_open=True))


NO_ADDRESSES = [
    *("", "50051", "localhost", ":50051", "127.0.0.1:65536", "127.0.0.1:-1", "a:b", "a..b:1", "http://a:1", "[::1:5"),
    *("::1:50407", "1::2", "h:\u0665\u0660", "h:\u00b2", "\u00e9:1"),
]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_has_host_and_port(address: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        server_settings(listen_address=address)


@pytest.mark.parametrize(
    ("name", "value"), [("log_level", "INFO"), ("embedder", " Lexical"), ("authentication", "KEYS")]
)
def test_words_may_be_in_capitals(name: str, value: str) -> None:
    assert getattr(server_settings(**{name: value}), name) == value.strip().lower()


def test_a_home_directory_is_that_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    files = {"tls_cert_file": "~/a.pem", "tls_key_file": "~/b.pem", "tls_client_ca_file": "~/c.pem", "data_dir": "~/d"}
    settings = server_settings(**files)
    assert [getattr(settings, name) for name in files] == [Path(f"/home/ada{value[1:]}") for value in files.values()]


def test_settings_come_from_the_environment_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    from commontrace.settings import Settings

    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("EMBEDDING_DIMENSIONS", "7")
    settings = Settings()
    assert settings.database_url is None
    assert settings.embedding_dimensions == 7


@pytest.mark.parametrize("dimensions", [0, 2001])
def test_dimensions_fit_the_index(dimensions: int) -> None:
    with pytest.raises(ValidationError, match="must be 1 to 2000, all that pgvector's index takes"):
        server_settings(embedding_dimensions=dimensions)


@pytest.mark.parametrize(("size", "megabytes"), [("16MB", 16), ("512 MB", 512), ("2GB", 2048), ("1024GB", 1 << 20)])
def test_shared_buffers_are_spelled_as_postgres_spells_them(size: str, megabytes: int) -> None:
    assert server_settings(embedded_shared_buffers=size).embedded_shared_megabytes == megabytes


@pytest.mark.parametrize(
    "size", ["512", "15MB", "0GB", "-1GB", "1.5GB", "512mb", "1025GB", "99999999999GB", "half", "٣٢MB"]
)
def test_other_spellings_of_shared_buffers_are_refused(size: str) -> None:
    with pytest.raises(ValidationError, match="must be a size from 16MB to 1024GB, such as 512MB or 2GB"):
        server_settings(embedded_shared_buffers=size)
    assert server_settings().embedded_shared_megabytes is None


OPENAI = {"embedder": "openai", "embedding_base_url": "http://127.0.0.1:8080/v1"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"embedder": "openai"}, r"embedding_api_key\n.*required for the public endpoint; EMBEDDING_BASE_URL"),
        ({"embedder": "hosted"}, "'auto', 'local', 'openai' or 'lexical'"),
        (OPENAI | {"embedding_api_key": "two\nlines"}, "printable ASCII without spaces or line breaks"),
        (OPENAI | {"embedding_api_key": " sk-secret"}, "printable ASCII without spaces"),
        (OPENAI | {"embedding_base_url": "127.0.0.1:8080"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "ftp://example.org"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "http://"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "http://[::1"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "http://a:99999"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "http://a b/v1"}, "must be an http:// or https:// address"),
        (OPENAI | {"embedding_base_url": "https://ada:secret@a/v1"}, "no user, password.*EMBEDDING_API_KEY"),
        (OPENAI | {"embedding_base_url": "https://a/v1?key=secret"}, "no user, password, query"),
        (OPENAI | {"embedding_base_url": "https://a/v1/embeddings/"}, "must end before /embeddings"),
        ({"embedding_base_url": "http://127.0.0.1:8080/v1"}, "EMBEDDER is auto.*set EMBEDDER=openai"),
        (OPENAI | {"embedding_timeout_seconds": 0}, "greater than 0"),
        (OPENAI | {"embedding_timeout_seconds": "nan"}, "less than or equal to 600"),
        (OPENAI | {"embedding_timeout_seconds": 601}, "less than or equal to 600"),
        (OPENAI | {"embedding_model": "two words"}, "up to 200 printable ASCII characters without spaces"),
        (OPENAI | {"embedding_model": "m" * 201}, "up to 200 printable"),
        ({"embedding_model": "text-embedding-3-small"}, "EMBEDDER is auto.*set EMBEDDER=openai"),
        ({"embedder": "local", "embedding_model": "bge"}, "EMBEDDER is local.*EMBEDDING_MODEL_DIR"),
        ({"embedding_model_dir": "/nonexistent"}, "/nonexistent does not exist: name the directory that holds"),
        ({"embedder": "local", "embedding_model_dir": __file__}, "is no directory"),
    ],
)
def test_nonsense_about_embedders_is_explained_without_secrets(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        server_settings(**settings)

    assert all(error["loc"] for error in caught.value.errors())
    assert "secret" not in "".join(error["msg"] for error in caught.value.errors())


def test_the_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(server_settings(**OPENAI, embedding_api_key="sk-secret"))


@pytest.mark.parametrize(
    "settings",
    [
        {"embedder": "local", "embedding_api_key": "sk-of-another"},
        {"embedder": "local", "embedding_model": "all-MiniLM-L6-v2"},
        {"embedder": "lexical", "embedding_model": "text-embedding-3-small"},
        {"embedder": "lexical", "embedding_model_dir": "/nonexistent"},
        {"embedder": "openai", "embedding_api_key": "sk"},
        OPENAI | {"embedding_model": "BAAI/bge-small-en-v1.5", "embedding_model_dir": "/nonexistent"},
    ],
)
def test_settings_of_other_embedders_are_ignored(settings: dict[str, object]) -> None:
    assert server_settings(**settings).embedder == settings["embedder"]


def test_each_worker_exports_its_metrics_on_a_port_of_its_own() -> None:
    def ports(address: str | None) -> list[str | None]:
        return [server_settings(metrics_address=address).metrics_address_of(worker) for worker in range(2)]

    assert ports("127.0.0.1:9464") == ["127.0.0.1:9464", "127.0.0.1:9465"]
    assert ports("[::1]:9464") == ["[::1]:9464", "[::1]:9465"]
    assert ports("127.0.0.1:0") == ["127.0.0.1:0", "127.0.0.1:0"]
    assert ports(None) == [None, None]
    with pytest.raises(ValidationError, match="HOST:PORT"):
        server_settings(metrics_address="9464")


def test_a_day_has_room_for_the_tags_of_a_trace() -> None:
    with pytest.raises(ValidationError, match="at least 20"):
        server_settings(quota_tag_names_per_day=limits.TAGS - 1)
    assert server_settings(quota_tag_names_per_day=limits.TAGS).quota_tag_names_per_day == limits.TAGS
