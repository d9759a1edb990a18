"""The local model is installed before an embedded database is created that needs it, and never otherwise."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from commontrace.embeddings.local import download
from commontrace.serving.model_installation import install_missing_model
from tests.conftest import server_settings


@pytest.fixture(autouse=True)
def installations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is installed, on a machine where there is no model."""
    found: list[str] = []

    def install_model() -> Path:
        found.append("model")
        raise download.ModelNotInstalled("the embedding model cannot be downloaded: no network")

    monkeypatch.setattr("commontrace.embeddings.local.model.MODEL_PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(download, "install_model", install_model)
    return found


@pytest.mark.parametrize("embedder", ["auto", "local"])
def test_a_failure_is_one_line(tmp_path: Path, installations: list[str], embedder: str) -> None:
    with capture_logs() as logs:
        install_missing_model(server_settings(data_dir=tmp_path / "data", database_url=None, embedder=embedder))
    assert installations == ["model"]
    [_, warning] = logs
    assert warning["event"] == "searches will compare words: run `commontrace models install`, then start again"
    assert warning["why"] == "the embedding model cannot be downloaded: no network"


@pytest.mark.parametrize(
    "settings",
    [
        {"embedder": "lexical"},
        {"embedder": "openai", "embedding_base_url": "http://127.0.0.1:9/v1"},
        {"database_url": "postgresql://db/traces"},
        {"embedding_model_dir": Path("/")},
    ],
)
def test_who_needs_no_model_gets_none(tmp_path: Path, installations: list[str], settings: dict[str, Any]) -> None:
    with capture_logs() as logs:
        install_missing_model(server_settings(**({"data_dir": tmp_path / "data"} | settings)))
    assert (installations, logs) == ([], [])


def test_a_database_that_is_there_has_its_model(tmp_path: Path, installations: list[str]) -> None:
    cluster = tmp_path / "data" / "postgres-18"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18\n")
    install_missing_model(server_settings(data_dir=tmp_path / "data", database_url=None))
    assert installations == []


def test_a_model_that_is_there_is_not_fetched(tmp_path: Path, installations: list[str]) -> None:
    (tmp_path / "user" / "commontrace" / "models" / "all-MiniLM-L6-v2").mkdir(parents=True)
    install_missing_model(server_settings(data_dir=tmp_path / "data", database_url=None))
    assert installations == []
