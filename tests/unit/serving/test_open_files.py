import resource

import pytest

from commontrace.serving.open_files import connections_to_serve

_ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "raised_to", "connections"),
    [
        ((1024, 20_000), 4608, 4096),
        ((1024, _ENDLESS), 4608, 4096),
        ((1024, 1024), 1024, 512),
        ((256, 600), 600, 300),
        ((4608, 4608), 4608, 4096),
        ((_ENDLESS, _ENDLESS), _ENDLESS, 4096),
    ],
)
def test_the_limit_is_raised_and_some_files_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], raised_to: int, connections: int
) -> None:
    is_now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: is_now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, changed: is_now.append(changed))
    assert connections_to_serve() == connections
    assert is_now[-1] == (raised_to, limits[1])
