"""Properties of validation and translation: tags, texts, vectors, metadata, messages of hits."""

import unicodedata
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from commontrace.domain import limits
from commontrace.domain.errors import InvalidTag
from commontrace.domain.tags.names import normalise, normalise_all
from commontrace.domain.text import first_forbidden, is_blank, without_forbidden
from commontrace.rpc.messages.vectors import vector_array, vector_violations
from commontrace.rpc.streams.hits import ResponseBuilder
from commontrace.rpc.validation.field_rules import stored_text
from commontrace.rpc.validation.json_rules import json_object
from commontrace.v1 import error_reason_pb2, trace_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb

# The same examples in every run, however busy the machine.
stable = settings(derandomize=True, database=None, deadline=None)

# Characters that some step of normalising changes, beside any others.
_TRICKY = (
    " \t\n\u00a0\u3000/\uff0f.-_ABzé\u00df\u1e9e\u0301\u0323\u0345\u00a8\u0130\u017f\u212a\u03a3\u03c2\u1f82"
    "\ufb03\ufdfa\uff19\u2460\u2167\uac01\u1100\u1161\u11a8"
)
_tricky = st.text(st.sampled_from(_TRICKY) | st.characters(categories=["L", "M", "N"]), max_size=30)
_tags = _tricky | st.text(max_size=60)
# Letters whose two cases are spellings of each other; of a sigma, the place in the word decides.
_cased = st.characters(categories=["Lu", "Ll", "Nd"], exclude_characters="ΣσςϹϲ").filter(
    lambda letter: letter.upper().lower() == letter.lower() == letter.lower().upper().lower()
)
_separators = st.text(" /\t\n\u00a0\u3000\uff0f", min_size=1, max_size=4)


def _name(tag: str) -> str | None:
    try:
        return normalise(tag)
    except InvalidTag:
        return None


@settings(stable, max_examples=500)
@given(_tags)
def test_a_tag_has_a_canonical_name_or_none(tag: str) -> None:
    name = _name(tag)
    assume(name is not None)
    assert name is not None
    assert normalise(name) == name
    assert 1 <= len(name) <= limits.TAG_CHARACTERS
    categories = [unicodedata.category(character) for character in name if character not in "-._"]
    assert all(category[0] in "LM" or category == "Nd" for category in categories)
    assert any(category[0] in "LN" for category in categories)
    assert name == unicodedata.normalize("NFKC", name) == name.lower() == name.strip()
    assert first_forbidden(tag) is None


@stable
@given(_tags, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), st.text(" \t\n\u3000", max_size=3))
def test_equivalent_spellings_and_the_space_around_make_no_other_tag(tag: str, form: str, space: str) -> None:
    assert _name(space + unicodedata.normalize(form, tag) + space) == _name(tag)  # type: ignore[arg-type] # a form


@stable
@given(st.text(_cased, min_size=1, max_size=30))
def test_letter_case_makes_no_other_tag(tag: str) -> None:
    assert _name(tag.upper()) == _name(tag.lower()) == _name(tag.swapcase()) == _name(tag)


@stable
@given(st.lists(st.text("abc123._", min_size=1, max_size=6).filter(str.isalnum), min_size=1, max_size=6), st.data())
def test_a_run_of_spaces_and_slashes_is_one_hyphen(words: list[str], data: st.DataObject) -> None:
    tag = words[0] + "".join(data.draw(_separators) + word for word in words[1:])
    assert normalise(tag) == "-".join(words)


@stable
@given(st.integers(1, 200), st.sampled_from(["a", "\u1f82", "\uac01", "é"]))
def test_only_the_length_of_the_canonical_name_counts(length: int, letter: str) -> None:
    decomposed = unicodedata.normalize("NFD", letter * length)
    padded = f"{' ' * 1000}{decomposed}{'/ ' * 1000}b"
    assert _name(padded) == (f"{letter * length}-b" if length <= limits.TAG_CHARACTERS - 2 else None)


@stable
@given(st.lists(st.text("aAbB /", min_size=1).filter(lambda tag: _name(tag) is not None)))
def test_tags_are_sorted_and_each_is_there_once(tags: list[str]) -> None:
    assert normalise_all(tags) == sorted({normalise(tag) for tag in tags})


def _is_forbidden(character: str) -> bool:
    point = ord(character)
    control = unicodedata.category(character) == "Cc" and character not in "\t\n\r"
    return control or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069 or 0xE0000 <= point <= 0xE007F


def test_exactly_the_documented_characters_are_forbidden() -> None:
    everything = [chr(point) for point in range(0x110000)]
    assert [c for c in everything if first_forbidden(c)] == [c for c in everything if _is_forbidden(c)]


@stable
@given(st.text(st.characters() | st.sampled_from("\0\x1b\x85\u202e\u2066\U000e0041 \t\r\n")))
def test_the_first_forbidden_character_is_found_and_stripping_takes_no_others(text: str) -> None:
    positions = [position for position, character in enumerate(text) if _is_forbidden(character)]
    assert first_forbidden(text) == ((positions[0], text[positions[0]]) if positions else None)
    assert without_forbidden(text) == "".join(character for character in text if not _is_forbidden(character))
    assert not is_blank(text) or all(_shows_nothing(character) for character in text)


def _shows_nothing(character: str) -> bool:
    """Tells whether a character may be invisible, by its category and name; some of these categories are visible."""
    name = unicodedata.name(character, "")
    blanks = ("FILLER", "BLANK", "JOINER", "VARIATION SELECTOR", "NULL", "INHERENT", "PLANE SPACE")
    is_blank_by_name = any(word in name for word in blanks)
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf", "Cn"} or is_blank_by_name


@pytest.mark.parametrize(
    "character",
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u3164\u115f\u1160\uffa0\u2800\u180e\u034f\ufe0f\u2063\u061c\u2028\u3000\U0001d159\U000e0101"
    "\ufdd0\ufffe\uffff\U00013430\U00013441\U00013442\U00016fe4",
)
def test_a_text_of_nothing_visible_is_blank(character: str) -> None:
    assert is_blank(character)
    assert is_blank(f" {character}\n{character * 50_000}")
    # Beside visible text it is allowed.
    assert not is_blank(f"{character}.")
    assert not list(stored_text("title", f"{character}a", 200, required=True))
    assert [violation.field for violation in stored_text("title", character, 200, required=True)] == ["title"]
    assert _name(character) is None


@pytest.mark.parametrize(
    "character", ["a", "0", ".", "\u0301", "\u4e2d", "\u0600", "\U0001f600", "\ue000", "\U0001fae8"]
)
def test_whatever_can_be_seen_is_not_blank(character: str) -> None:
    assert not is_blank(f"\u200b{character}")


@stable
@given(st.lists(st.booleans(), max_size=40))
def test_metadata_that_is_taken_can_be_read_in_every_response(nesting: list[bool]) -> None:
    value: Any = None
    for is_object in nesting:
        value = {"k": value} if is_object else [value]
    metadata = Struct()
    metadata.update({"k": value})
    violations = list(json_object("metadata", metadata, most_values=limits.METADATA_VALUES))
    assert [violation.metadata["unit"] for violation in violations] == ["levels"] * (len(nesting) > 15)
    if not violations:
        response = pb.SearchTracesResponse(hits=[pb.SearchHit(trace=trace_pb2.Trace(metadata=metadata))])
        assert pb.SearchTracesResponse.FromString(response.SerializeToString()) == response


_sizes = st.sampled_from([0, 1, 127, 128, 20_000, 400_000]) | st.integers(0, 3_000)
# Around half of what a message has for its hits, and nearly all of it.
_edges = st.integers(1_039_000, 1_042_000) | st.integers(2_079_000, 2_080_500)


@cache
def _padding(size: int) -> str:
    return "x" * size


def _copy(hit: pb.SearchHit, message: pb.SearchHit) -> None:
    message.CopyFrom(hit)


@settings(stable, max_examples=60)
@given(st.lists(_sizes | _edges, max_size=12), st.integers(0, 100))
def test_hits_are_cut_into_messages_in_order_and_none_is_too_large(sizes: list[int], model_id: int) -> None:
    hits = [
        pb.SearchHit(trace=trace_pb2.Trace(id=str(number), solution=_padding(size)), similarity=1 / (number + 1))
        for number, size in enumerate(sizes)
    ]
    builder = ResponseBuilder()
    cut = [full for hit in hits if (full := builder.add(partial(_copy, hit))) is not None] + [builder.take()]
    assert [hit for response in cut for hit in response.hits] == hits
    assert all(response.hits for response in cut) or not hits
    for response, following in pairwise(cut):
        # It ends only where the next hit would not have fitted, give or take what is kept free.
        assert response.ByteSize() + following.hits[0].ByteSize() > limits.RESPONSE_BYTES - 17_000
    for response in cut:
        response.summary.embedding_model_id = "m" * model_id
        response.summary.dropped_count = response.summary.hit_count = 1_000
        response.summary.unknown_tags.extend(["\N{CAT FACE}" * limits.TAG_CHARACTERS] * 3 * limits.FILTER_VALUES)
        response.resume_token = "A" * limits.TOKEN_CHARACTERS
        assert response.ByteSize() <= limits.RESPONSE_BYTES


@stable
@given(st.lists(st.floats(width=32), max_size=8))
def test_both_encodings_of_a_vector_are_the_same_vector(components: list[float]) -> None:
    packed = vector_pb2.Vector(packed_f32=np.array(components, dtype="<f4").tobytes(), model_id="m")
    listed = vector_pb2.Vector(float_vector=vector_pb2.FloatVector(values=components), model_id="m")
    for vector in (packed, listed):
        array = vector_array(vector)
        assert array.dtype == np.float32
        assert array.tobytes() == np.array(components, dtype=np.float32).tobytes() or np.isnan(array).any()
        assert np.array_equal(array, np.array(components, dtype=np.float32), equal_nan=True)
    assert list(vector_violations("v", packed, model_id="m", dimensions=4)) == list(
        vector_violations("v", listed, model_id="m", dimensions=4)
    )


@stable
@given(st.lists(st.floats(width=32), min_size=4, max_size=4))
def test_a_vector_is_refused_for_being_infinite_or_for_its_norm(components: list[float]) -> None:
    vector = vector_pb2.Vector(float_vector=vector_pb2.FloatVector(values=components), model_id="m")
    norm = sum(component**2 for component in components) ** 0.5
    violations = list(vector_violations("v", vector, model_id="m", dimensions=4))
    assert [violation.reason for violation in violations] == (
        [] if 1e-6 <= norm <= 1e6 else [error_reason_pb2.ERROR_REASON_INVALID_VECTOR]
    )
