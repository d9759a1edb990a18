"""Error rows for the fields of the calls of TagService."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.messages.tags import BY_NAME
from commontrace.v1 import tag_pb2
from commontrace.v1 import tag_service_pb2 as pb
from tests.contract.errors.error_row import (
    GET_TAG,
    LIST_TAGS,
    MERGE_TAGS,
    RESOLVE_TAGS,
    UNKNOWN_ID,
    UPDATE_TAG,
    Code,
    Row,
    delimited,
    invalid,
    malformed,
)

_TAGS = {
    "empty": ("FIELD_REQUIRED", ""),
    "blank": ("FIELD_REQUIRED", " \t\n\u3000"),
    "invisible": ("FIELD_REQUIRED", "\u200b\ufeff"),
    "of fillers, which are letters": ("FIELD_REQUIRED", "\u3164"),
    "of a filler and a dot": ("INVALID_TAG", "\u3164."),
    "too long": ("INVALID_TAG", "x" * (limits.TAG_CHARACTERS + 1)),
    "of a megabyte": ("INVALID_TAG", "é" * 500_000),
    "with punctuation": ("INVALID_TAG", "a+b"),
    "with NUL": ("INVALID_TAG", "a\0"),
    "without letter or digit": ("INVALID_TAG", "-._"),
    "with an alias in it": ("INVALID_TAG", "c++ c#"),
}
_REQUEST_IDS = {"a word": "again", "braces": f"{{{UNKNOWN_ID}}}", "no hyphens": UNKNOWN_ID.replace("-", "")}
_FORBIDDEN = "\0\x1b\x85\u202e\u2066\U000e0041"
_POSITIONS: dict[str, Any] = {
    "of a name with NUL": ["a\0"],
    "of a name that is no text": ["\ud800"],
    "of a long name": ["é" * 500],
    "of a number": [1],
    "of a list": [["python"]],
    "of nothing": [],
    "of two names": ["go", "python"],
}


def tag_rows() -> Iterator[Row]:
    yield from _list_tags()
    yield from _get_tag()
    yield from _update_tag()
    for name, count in {"no names": 0, "too many names": limits.RESOLVE_TAGS + 1}.items():
        request = pb.ResolveTagsRequest(names=["python"] * count)
        yield invalid(RESOLVE_TAGS, name, "FIELD_TOO_LONG" if count else "FIELD_REQUIRED", "names", request)
    yield malformed(RESOLVE_TAGS, "name not UTF-8", b"\x0a\x01\xff")
    yield from _named(MERGE_TAGS, "source", lambda given: pb.MergeTagsRequest(source=given, target="python"))
    yield from _named(MERGE_TAGS, "target", lambda given: pb.MergeTagsRequest(source="python", target=given))
    for name, value in _REQUEST_IDS.items():
        request_with_id = pb.MergeTagsRequest(source="py", target="python", request_id=value)
        yield invalid(MERGE_TAGS, f"request id with {name}", "MALFORMED_ID", "request_id", request_with_id)


def _list_tags() -> Iterator[Row]:
    too_long = pb.ListTagsRequest(prefix="é" * (limits.TAG_CHARACTERS + 1))
    yield invalid(LIST_TAGS, "prefix too long", "FIELD_TOO_LONG", "prefix", too_long)
    for character in _FORBIDDEN:
        request = pb.ListTagsRequest(prefix=f"a{character}b")
        yield invalid(LIST_TAGS, f"U+{ord(character):04X} in prefix", "FORBIDDEN_CHARACTER", "prefix", request)
    for order in (-1, 3, 2**31 - 1):
        request = pb.ListTagsRequest(order=order)  # type: ignore[arg-type] # unknown numbers
        yield invalid(LIST_TAGS, f"order {order}", "UNKNOWN_ENUM_VALUE", "order", request)
    for size in (-1, -(2**31)):
        request = pb.ListTagsRequest(page_size=size)
        yield invalid(LIST_TAGS, f"page_size {size}", "FIELD_OUT_OF_RANGE", "page_size", request)
    by_name = pb.ListTagsRequest()
    tokens = {"of another request": BY_NAME.token(pb.ListTagsRequest(prefix="a"), "python"), "of noise": "!" * 100_000}
    forging = replace(BY_NAME, pack=lambda where: where)
    tokens |= {name: forging.token(by_name, where) for name, where in _POSITIONS.items()}
    for name, token in tokens.items():
        request = pb.ListTagsRequest(page_token=token)
        yield invalid(LIST_TAGS, f"page_token {name}", "INVALID_PAGE_TOKEN", "page_token", request)
    by_use = pb.ListTagsRequest(order=pb.TAG_ORDER_USE)
    by_use.page_token = BY_NAME.token(by_use, "python")
    yield invalid(LIST_TAGS, "page_token by use", "FIELD_NOT_ALLOWED", "page_token", by_use)


def _get_tag() -> Iterator[Row]:
    yield from _named(GET_TAG, "name", lambda given: pb.GetTagRequest(name=given))
    for spelling in ("unknown", " C++ ", "x" * limits.TAG_CHARACTERS):
        yield _not_found(GET_TAG, spelling, pb.GetTagRequest(name=spelling))


def _update_tag() -> Iterator[Row]:
    yield from _named(UPDATE_TAG, "tag.name", lambda given: _update(["description"], name=given))
    too_long = _update(["description"], description="é" * (limits.TAG_DESCRIPTION_CHARACTERS + 1))
    yield invalid(UPDATE_TAG, "description too long", "FIELD_TOO_LONG", "tag.description", too_long)
    for character in _FORBIDDEN:
        name, request = f"U+{ord(character):04X} in description", _update(["description"], description=character)
        yield invalid(UPDATE_TAG, name, "FORBIDDEN_CHARACTER", "tag.description", request)
    yield invalid(UPDATE_TAG, "no mask", "FIELD_REQUIRED", "update_mask", _update([]))
    for path in ("name", "trace_count", "aliases", "create_time", "tag.description", "*", "é" * 100_000):
        request = _update(["description", path])
        yield invalid(UPDATE_TAG, f"mask {path[:20]}", "INVALID_FIELD_MASK", "update_mask", request)
    for name, value in _REQUEST_IDS.items():
        request = _update(["description"])
        request.request_id = value
        yield invalid(UPDATE_TAG, f"request id with {name}", "MALFORMED_ID", "request_id", request)
    yield _not_found(UPDATE_TAG, "unknown tag", _update(["description"]))
    # What the mask leaves out is not looked at.
    yield _not_found(UPDATE_TAG, "unknown tag, described too long", _update(["is_curated"], description="\0" * 501))
    yield malformed(UPDATE_TAG, "description not UTF-8", delimited(1, b"\x12\x01\xff"))


def _named(rpc: str, field: str, request: Callable[[str], Message]) -> Iterator[Row]:
    for name, (reason, given) in _TAGS.items():
        yield invalid(rpc, f"{field} {name}", reason, field, request(given))


def _not_found(rpc: str, name: str, request: Message) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.NOT_FOUND, reason="TAG_NOT_FOUND")


def _update(paths: list[str], **fields: Any) -> pb.UpdateTagRequest:
    tag = tag_pb2.Tag(**({"name": "unknown"} | fields))
    return pb.UpdateTagRequest(tag=tag, update_mask=FieldMask(paths=paths))
