import pytest
from pydantic import ValidationError

from commontrace.bootstrap import NotReady
from commontrace.server import refuse_open_address
from tests.conftest import server_settings


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "127.8.9.10:1", "[::1]:50051", "localhost:0"])
def test_loopback_needs_no_permission(address: str) -> None:
    refuse_open_address(server_settings(listen_address=address))


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "example.org:50051", "[fe80::1]:1"])
def test_other_addresses_need_permission(address: str) -> None:
    with pytest.raises(NotReady, match="ALLOW_OPEN=true"):
        refuse_open_address(server_settings(listen_address=address))
    refuse_open_address(server_settings(listen_address=address, allow_open=True))


@pytest.mark.parametrize("address", ["", "50051", "localhost", ":50051", "127.0.0.1:65536", "127.0.0.1:-1", "a:b"])
def test_an_address_has_host_and_port(address: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        server_settings(listen_address=address)


def test_settings_come_from_the_environment_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    from commontrace.settings import Settings

    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("EMBEDDING_DIMENSIONS", "7")
    settings = Settings()
    assert settings.database_url is None
    assert settings.embedding_dimensions == 7


@pytest.mark.parametrize("dimensions", [0, 2001])
def test_dimensions_fit_the_index(dimensions: int) -> None:
    with pytest.raises(ValidationError):
        server_settings(embedding_dimensions=dimensions)
