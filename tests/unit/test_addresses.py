"""Parsing HOST:PORT, and the hosts of gRPC targets."""

import pytest

from commontrace import addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:0000065536",
        "db:65536",
        f"db:{'9' * 5_000}",
        f"{'a' * 64}:1",
        f"x.{'a' * 64}.org:1",
        "::1:50407",
        "db:٣",
    ],
)
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        addresses.parse(address)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("[::1]:65535", "::1", 65535), (f"{'a' * 63}.org:00080", f"{'a' * 63}.org", 80), ("unix1:1", "unix1", 1)],
)
def test_addresses_are_parsed(address: str, host: str, port: int) -> None:
    assert addresses.parse(address) == (host, port)


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("unix1.example.org:50051", ["unix1.example.org"]),
        ("unix:/run/traces", []),
        ("unix-abstract:traces", []),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_hosts_of_targets(target: str, hosts: list[str]) -> None:
    assert addresses.hosts_of_target(target) == hosts
