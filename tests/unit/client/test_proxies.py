"""Which addresses are this machine's, which no proxy of the environment has anything to do with."""

import pytest

from commontrace.addresses import is_loopback, is_this_machine
from commontrace.client.channel_options import options
from commontrace.client.proxies import way_to

HERE = [
    "127.0.0.1:50051",
    "127.8.9.10:1",
    "[::1]:50051",
    "[::ffff:127.0.0.1]:50051",
    "0.0.0.0:50051",
    "[::]:1",
    "localhost:50051",
    "LOCALHOST.:50051",
    "traces.localhost:1",
    "dns:///localhost:50051",
    "dns://8.8.8.8/localhost:50051",
    "ipv4:127.0.0.1:50051,127.0.0.1:50052",
    "ipv6:[::1]:50051",
    "unix:/run/traces",
    "unix:///run/traces",
]
ELSEWHERE = [
    "10.0.0.1:50051",
    "[fe80::1]:1",
    "traces.example.org:50051",
    "localhost.example.org:1",
    "127.0.0.1.example.org:1",
    "dns:///traces:50051",
    "ipv4:127.0.0.1:50051,10.0.0.2:50051",
]


@pytest.mark.parametrize("address", [*HERE, *ELSEWHERE])
@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_proxies_are_for_what_is_elsewhere(monkeypatch: pytest.MonkeyPatch, address: str, variable: str) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert way_to(address) == ""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    is_elsewhere = address in ELSEWHERE
    assert dict(options(address))["grpc.enable_http_proxy"] == int(is_elsewhere)
    assert (f"through the proxy of {variable} " in way_to(address)) is is_elsewhere


@pytest.mark.parametrize("listed", ["example.org", "x, .EXAMPLE.org", "10.0.0.0/8", "10.0.0.1"])
def test_what_is_excepted_has_no_proxy(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", listed)
    address = "10.0.0.1:1" if listed.startswith("10") else "traces.example.org:1"
    assert way_to(address) == ""
    assert way_to("192.0.2.1:1") != ""


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        # The first one that is set decides, also by being empty.
        ({"grpc_proxy": "", "http_proxy": "http://127.0.0.1:9"}, ""),
        ({"https_proxy": "", "http_proxy": "http://127.0.0.1:9"}, ""),
        ({"grpc_proxy": "http://127.0.0.1:8", "http_proxy": "http://127.0.0.1:9"}, "grpc_proxy"),
        ({"http_proxy": "http://127.0.0.1:9", "no_grpc_proxy": "", "no_proxy": "192.0.2.1"}, "http_proxy"),
        # gRPC speaks to proxies in plain HTTP, and goes without one that wants another protocol.
        ({"http_proxy": "HTTP://127.0.0.1:9"}, "http_proxy"),
        ({"http_proxy": "https://127.0.0.1:9"}, ""),
        ({"https_proxy": "socks5://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}, ""),
        ({"http_proxy": "localhost:9"}, ""),
    ],
)
def test_only_the_proxy_that_grpc_uses_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], used: str
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert way_to("192.0.2.1:1").partition(" (")[0] == (f" through the proxy of {used}" if used else "")


def test_only_addresses_and_the_one_name_are_loopback_to_a_server() -> None:
    # What else a name leads to, somebody else decides.
    assert not is_loopback("traces.localhost")
    assert not is_loopback("0.0.0.0")  # noqa: S104 - not bound
    assert is_this_machine("0.0.0.0")  # noqa: S104
