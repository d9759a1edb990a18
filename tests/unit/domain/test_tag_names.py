import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commontrace.core.traces.seed import read_seeds
from commontrace.data_files import data_directory
from commontrace.domain.errors import InvalidTag
from commontrace.domain.tags.names import (
    CanonicalName,
    canonical,
    folded,
    normalise,
    normalise_all,
    starter_spellings,
)
from commontrace.domain.tags.starter_aliases import STARTER_ALIASES

stable = settings(derandomize=True, database=None, deadline=None)

_spellings = st.sampled_from(sorted(STARTER_ALIASES))
_names = st.sampled_from(sorted(set(STARTER_ALIASES.values())))
_space = st.text(" \t\n\u00a0\u3000", max_size=3)


def _name(tag: str) -> str | None:
    try:
        return normalise(tag)
    except InvalidTag:
        return None


def test_the_starter_set_leads_to_canonical_names_in_one_step() -> None:
    targets = set(STARTER_ALIASES.values())
    assert {name: canonical(name) for name in targets} == {name: CanonicalName(name, "") for name in targets}
    assert targets.isdisjoint(STARTER_ALIASES)


def test_every_starter_alias_is_a_spelling_that_gets_looked_up() -> None:
    assert {spelling: canonical(spelling) for spelling in STARTER_ALIASES} == {
        spelling: CanonicalName(name, spelling) for spelling, name in STARTER_ALIASES.items()
    }
    # Others could be found only as they are written there, or not at all.
    assert all(folded(spelling) == spelling and not set(spelling) & set(" /") for spelling in STARTER_ALIASES)


@stable
@given(_spellings, _space, _space, st.sampled_from([str.upper, str.title, str.swapcase, str.lower]), st.booleans())
def test_an_alias_is_found_however_it_is_written(spelling: str, before: str, behind: str, cased, wide: bool) -> None:  # type: ignore[no-untyped-def] # noqa: FBT001 - drawn
    written = cased(spelling)
    if wide:
        written = "".join(chr(ord(character) + 0xFEE0) for character in written)
    assert unicodedata.normalize("NFKC", written).lower() == spelling
    assert canonical(before + written + behind) == (STARTER_ALIASES[spelling], spelling)


@stable
@given(_spellings.filter(lambda spelling: "-" in spelling), st.sampled_from([" ", "/", " / ", "\u3000", "\uff0f"]))
def test_spaces_and_slashes_in_an_alias_are_hyphens(spelling: str, separator: str) -> None:
    assert normalise(spelling.replace("-", separator)) == STARTER_ALIASES[spelling]


@settings(stable, max_examples=500)
@given(st.lists(_spellings | _names | st.sampled_from([" ", "/", "-", ".", "+", "#", "\u0301"]), max_size=4))
def test_a_canonical_name_is_its_own(parts: list[str]) -> None:
    name = _name("".join(parts))
    assert name is None or canonical(name) == (name, "")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("C++", "cpp"),
        (" C# ", "csharp"),
        (".NET", "dotnet"),
        ("Node.js", "node.js"),
        ("Node JS", "node.js"),
        ("GoLang", "go"),
        ("Vs/Code", "vscode"),
        ("c++-builder", None),
        ("c++ c++", None),
        ("golang-tips", "golang-tips"),
        ("node", "node"),
        ("tf", "tf"),
    ],
)
def test_an_alias_stands_for_a_whole_tag_only(tag: str, name: str | None) -> None:
    assert _name(tag) == name


def test_the_seeds_tags_are_canonical_names() -> None:
    for contribution in read_seeds(data_directory("fixtures")).values():
        assert normalise_all(contribution.tags) == sorted(contribution.tags)


def test_the_spellings_of_names() -> None:
    assert starter_spellings([]) == starter_spellings(["golang"]) == set()
    assert starter_spellings(["go", "csharp", "unheard-of"]) == {"golang", "go-lang", "c#", "c-sharp"}
    assert starter_spellings(STARTER_ALIASES.values()) == set(STARTER_ALIASES)
