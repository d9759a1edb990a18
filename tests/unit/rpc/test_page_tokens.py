"""Properties of page tokens, of the service and forged ones."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import BY_REVISION, NEWEST_FIRST, TokenField, page_size
from commontrace.rpc.validation.invalid_request import InvalidRequest
from commontrace.storage.keyset import Cursor
from commontrace.v1 import error_reason_pb2, trace_filter_pb2
from commontrace.v1 import trace_service_pb2 as pb

# The same examples in every run, however busy the machine.
stable = settings(derandomize=True, database=None, deadline=None)

ID = "123e4567-e89b-12d3-a456-426614174000"
FIRST_PAGE = pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_any=["python"]), page_size=3)
HISTORY = pb.ListTraceRevisionsRequest(trace_id=ID)

_positions = st.builds(Cursor, st.datetimes(timezones=st.just(UTC)), st.uuids())
_alphabet = st.sampled_from("ABCZabcz0189-_=+/ \n\0é\N{SNAKE}")
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([ID, 10**400]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=5,
)


def problem(field: TokenField[Any], request: Any, token: str) -> str:
    """Returns the problem of the token, which must be a violation of its field."""
    continued = type(request)()
    continued.CopyFrom(request)
    continued.page_token = token
    with pytest.raises(InvalidRequest) as caught:
        field.position(continued)
    [violation] = caught.value.violations
    assert list(field.violations(continued)) == [violation]
    assert (violation.field, violation.reason) == ("page_token", error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN)
    return violation.metadata["problem"]


def position_of(field: TokenField[Any], request: Any, token: str) -> Any:
    continued = type(request)()
    continued.CopyFrom(request)
    continued.page_token = token
    assert list(field.violations(continued)) == []
    return field.position(continued)


def forged(request: Any, packed: Any) -> str:
    """A forged token with a valid checksum."""
    field = TokenField[Any](pack=lambda where: where, unpack=lambda where: where)
    return field.token(request, packed)


@stable
@given(_positions)
def test_a_token_stands_for_its_position_to_the_microsecond(position: Cursor) -> None:
    token = NEWEST_FIRST.token(FIRST_PAGE, position)
    assert position_of(NEWEST_FIRST, FIRST_PAGE, token) == position
    assert len(token) <= limits.TOKEN_CHARACTERS


@stable
@given(st.integers(1, 2**31 - 1))
def test_a_token_stands_for_its_revision(revision: int) -> None:
    assert position_of(BY_REVISION, HISTORY, BY_REVISION.token(HISTORY, revision)) == revision


def test_no_token_stands_for_the_beginning_and_the_end_has_none() -> None:
    assert NEWEST_FIRST.position(FIRST_PAGE) is None
    assert NEWEST_FIRST.next_token(FIRST_PAGE, None) == ""
    position = Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(ID))
    assert NEWEST_FIRST.next_token(FIRST_PAGE, position) == NEWEST_FIRST.token(FIRST_PAGE, position)


@settings(stable, max_examples=500)
@given(_positions, st.integers(0, 200), st.integers(0, 200), st.text(_alphabet, max_size=6))
def test_a_token_that_was_changed_anywhere_is_refused(
    position: Cursor, start: int, removed: int, inserted: str
) -> None:
    token = NEWEST_FIRST.token(FIRST_PAGE, position)
    changed = token[:start] + inserted + token[start + removed :]
    assume(changed not in ("", token))
    assert problem(NEWEST_FIRST, FIRST_PAGE, changed) == "MALFORMED"


def test_every_other_last_character_is_refused() -> None:
    # Some of its bits are unused: decoders ignore them.
    for revision in (1, 10, 100):
        token = BY_REVISION.token(HISTORY, revision)
        others = {chr(code) for code in range(32, 127)} - {token[-1]}
        assert {problem(BY_REVISION, HISTORY, token[:-1] + other) for other in others} == {"MALFORMED"}


@stable
@given(st.text(max_size=100) | st.text(_alphabet, max_size=100) | st.sampled_from(["A" * 10_000, "=" * 4, "_" * 999]))
def test_garbage_is_refused(garbage: str) -> None:
    assume(garbage)
    assert problem(NEWEST_FIRST, FIRST_PAGE, garbage) == "MALFORMED"
    assert problem(BY_REVISION, HISTORY, garbage) == "MALFORMED"


def _other_requests() -> Sequence[pb.ListTracesRequest]:
    tags = ["python"]
    metadata = Struct()
    metadata.update({"k": 1})
    return [
        pb.ListTracesRequest(),
        pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_all=tags)),
        pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_any=[*tags, *tags])),
        pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_any=tags, metadata=metadata)),
        pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_any=tags, include_superseded=True)),
        pb.ListTracesRequest(filter=FIRST_PAGE.filter, view=2),  # type: ignore[arg-type] # FULL
        pb.ListTracesRequest(filter=FIRST_PAGE.filter, show_deleted=True),
    ]


def test_a_token_belongs_to_the_fields_it_was_made_for_but_not_to_the_size_of_the_page() -> None:
    position = Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(ID))
    token = NEWEST_FIRST.token(FIRST_PAGE, position)
    for other in _other_requests():
        assert problem(NEWEST_FIRST, other, token) == "OTHER_REQUEST"
    other_size = pb.ListTracesRequest(filter=FIRST_PAGE.filter, page_size=500)
    assert position_of(NEWEST_FIRST, other_size, token) == position
    assert NEWEST_FIRST.token(other_size, position) == token


def test_a_token_belongs_to_its_type_of_request() -> None:
    # Without fields, the requests are the same bytes.
    token = forged(pb.ListTracesRequest(), (1,))
    assert problem(BY_REVISION, pb.ListTraceRevisionsRequest(), token) == "OTHER_REQUEST"


def test_the_order_of_metadata_and_unknown_fields_make_no_other_request() -> None:
    forth, back = Struct(), Struct()
    keys = [f"key {number}" for number in range(50)]
    forth.update(dict.fromkeys(keys, "v"))
    back.update(dict.fromkeys(reversed(keys), "v"))
    one, same = (
        pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(metadata=metadata)) for metadata in (forth, back)
    )
    same.MergeFromString(b"\xc0\x3e\x01")
    position = Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(ID))
    assert position_of(NEWEST_FIRST, same, NEWEST_FIRST.token(one, position)) == position


@settings(stable, max_examples=500)
@given(_json)
def test_what_the_service_never_says_is_refused_even_with_the_right_checksum(packed: Any) -> None:
    is_revision = (
        isinstance(packed, list) and len(packed) == 1 and type(packed[0]) is int and 1 <= packed[0] <= 2**31 - 1
    )
    assume(not is_revision)
    token = forged(HISTORY, packed)
    assert problem(BY_REVISION, HISTORY, token) == "MALFORMED"
    is_position = isinstance(packed, list) and len(packed) == 2 and type(packed[0]) is int and packed[1] == ID
    assume(not is_position)
    assert problem(NEWEST_FIRST, FIRST_PAGE, forged(FIRST_PAGE, packed)) == "MALFORMED"


@pytest.mark.parametrize(
    "microseconds",
    [10**400, -(10**400), 2**63, -(2**63), 10**18, 253_402_300_800 * 10**6, -62_135_596_801 * 10**6, 1.0],
)
def test_a_time_that_no_calendar_has_is_refused(microseconds: float) -> None:
    assert problem(NEWEST_FIRST, FIRST_PAGE, forged(FIRST_PAGE, [microseconds, ID])) == "MALFORMED"


@pytest.mark.parametrize("item_id", [1, None, [ID], "", "x", ID + "0", {}, True])
def test_an_id_that_is_none_is_refused(item_id: Any) -> None:
    assert problem(NEWEST_FIRST, FIRST_PAGE, forged(FIRST_PAGE, [0, item_id])) == "MALFORMED"


@pytest.mark.parametrize("revision", [0, -1, 2**31, 10**400, True, "1", 1.0, None])
def test_a_revision_that_the_database_cannot_hold_is_refused(revision: Any) -> None:
    assert problem(BY_REVISION, HISTORY, forged(HISTORY, [revision])) == "MALFORMED"


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 50), (1, 1), (50, 50), (499, 499), (500, 500), (501, 500), (2**31 - 1, 500)]
)
def test_a_page_has_a_size(asked: int, given: int) -> None:
    assert page_size(asked) == given
