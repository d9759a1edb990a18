"""Environment variables and an embedding endpoint: proxies, certificate authorities, the library's own."""

from collections.abc import Iterator

import pytest

from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.hosted.endpoint import Endpoint
from tests.support.embedding_server import KEY, MODEL, EmbeddingServer, in_floats

NOWHERE = "http://127.0.0.1:9"
ELSEWHERE = "https://embeddings.invalid/v1"

FAULTS = [
    ({"ALL_PROXY": "socks5://ada:secret@127.0.0.1:9"}, "ALL_PROXY names a SOCKS proxy, which is not supported"),
    ({"https_proxy": "socks5h://127.0.0.1:9"}, "https_proxy names a SOCKS proxy"),
    ({"HTTPS_PROXY": "ftp://ada:secret@127.0.0.1:9"}, ": HTTPS_PROXY cannot be understood"),
    ({"HTTPS_PROXY": "http://ada:secret@[::1"}, ": HTTPS_PROXY cannot be understood"),
    ({"http_proxy": "http://127.0.0.1:port"}, ": http_proxy cannot be understood"),
    ({"SSL_CERT_FILE": "/nonexistent.pem"}, "SSL_CERT_FILE=/nonexistent.pem cannot be read: No such file"),
    ({"SSL_CERT_FILE": __file__}, f"SSL_CERT_FILE={__file__} cannot be read"),
]


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


def endpoint_of(base_url: str, *, key: str = KEY) -> Endpoint:
    return Endpoint(base_url=base_url, api_key=key, model=MODEL, dimensions=None, timeout=5.0)


@pytest.mark.parametrize(("variables", "said"), FAULTS)
async def test_a_broken_environment_is_explained_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddingServer, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelNotUsable) as caught:
        endpoint_of(ELSEWHERE)
    assert said in str(caught.value)
    assert ("\n" in str(caught.value), "secret" in str(caught.value)) == (False, False)
    # This machine's own needs neither.
    here = endpoint_of(server.url)
    assert len((await here.embed(["text"])).vectors) == 1
    await here.close()


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
async def test_proxies_are_for_what_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddingServer, name: str
) -> None:
    monkeypatch.setenv(name, NOWHERE)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        here = endpoint_of(url)
        assert len((await here.embed(["text"], patiently=False)).vectors) == 1
        await here.close()
    away = endpoint_of(ELSEWHERE.replace("https", "http"))
    with pytest.raises(EmbedderUnavailable, match=f"cannot be reached through the proxy of {name}: unset it"):
        await away.embed(["text"], patiently=False)
    await away.close()


@pytest.mark.parametrize("key", [KEY, ""])
async def test_only_the_key_of_the_settings_is_sent(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddingServer, key: str
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "of-somebody-else")
    monkeypatch.setenv("OPENAI_BASE_URL", NOWHERE)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: of-somebody-else\nAuthorization: Bearer of-somebody-else")
    server.answering = in_floats
    here = endpoint_of(server.url, key=key)
    await here.embed(["text"], patiently=False)
    await here.close()
    [request] = server.requests
    assert request.key == (f"Bearer {key}" if key else None)
    assert request.headers.keys() <= {
        "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host",
        "user-agent",
    }  # fmt: skip
    assert "of-somebody-else" not in str(request.headers)
