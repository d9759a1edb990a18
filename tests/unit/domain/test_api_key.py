import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commontrace.domain.errors import InvalidKey
from commontrace.domain.keys.api_key import new_key, parse_key


def test_a_key_parses_to_itself() -> None:
    key = new_key()
    assert re.fullmatch(r"ct_[0-9a-f]{32}_[0-9A-Za-z]{49}", key.text)
    assert parse_key(key.text) == key
    assert key.text not in repr(key)


def test_no_two_keys_are_alike() -> None:
    made = [new_key() for _ in range(1_000)]
    assert len({key.id for key in made}) == len({key.text[36:-6] for key in made}) == 1_000
    # 256 bits: every digit is used, the first one included as far as it goes.
    assert len({character for key in made for character in key.text[36:-6]}) == 62


@given(position=st.integers(min_value=0, max_value=84), character=st.characters(min_codepoint=32, max_codepoint=126))
def test_a_key_with_one_wrong_character_is_refused(position: int, character: str) -> None:
    key = new_key().text
    mangled = key[:position] + character + key[position + 1 :]
    if mangled != key:
        with pytest.raises(InvalidKey) as refusal:
            parse_key(mangled)
        assert refusal.value.metadata == {"problem": "MALFORMED"}


@given(st.text())
def test_malformed_keys_are_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(text)
