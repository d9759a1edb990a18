import pytest

from commontrace.plurals import counted


@pytest.mark.parametrize(("count", "said"), [(0, "0 traces"), (1, "1 trace"), (2, "2 traces"), (1001, "1001 traces")])
def test_one_thing_has_no_plural(count: int, said: str) -> None:
    assert counted(count, "traces") == said
