"""Namespaces that an import stores in, and what is said of those that were searched."""

import hashlib
import io
from uuid import UUID, uuid5

import pytest
import typer

from commontrace.cli.imports.json_lines import derive_import_id
from commontrace.cli.imports.target import ImportTarget
from commontrace.cli.output.enum_labels import scope_label
from commontrace.cli.output.search_notes import print_search_notes
from commontrace.cli.runtime.namespaces import parse_maps, require_one_name
from commontrace.v1 import options_pb2
from commontrace.v1.trace_service_pb2 import SearchSummary

FILE = b'{"title": "t"}\n'


def test_one_name_is_taken_and_several_are_refused() -> None:
    assert [require_one_name(given) for given in ("", "  ", "team", " team ")] == ["", "", "team", "team"]
    with pytest.raises(typer.BadParameter, match=r"not in 2: give one with --namespace \(COMMONTRACE_NAMESPACE may"):
        require_one_name("team web")


def test_maps_are_read() -> None:
    assert parse_maps(["commons=team", "web=a=b"]) == {"commons": "team", "web": "a=b"}
    for wrong in ("", "=", "team", "=team", "commons="):
        with pytest.raises(typer.BadParameter, match="--map must be OLD=NEW, such as commons=team, not"):
            parse_maps([wrong])
    with pytest.raises(typer.BadParameter, match="--map names 'a' twice"):
        parse_maps(["a=b", "a=c"])


def test_records_go_where_their_namespace_is_mapped() -> None:
    mapped = ImportTarget(renamed={"commons": "team", "web": "team"})
    assert [mapped.namespace_of(name) for name in ("", "commons", "web", "other")] == ["team", "team", "team", "other"]
    as_it_is = ImportTarget()
    assert [as_it_is.namespace_of(name) for name in ("", "commons", "web")] == ["", "commons", "web"]
    assert ImportTarget(renamed={"web": "team"}).namespace_of("") == ""


def test_a_file_that_goes_elsewhere_is_another_import() -> None:
    def id_of(target: ImportTarget, on_duplicate: str | None = None) -> UUID:
        return derive_import_id(io.BytesIO(FILE), on_duplicate, target)[0]

    targets = (
        ImportTarget(),
        ImportTarget(namespace="team"),
        ImportTarget(namespace="web"),
        ImportTarget(renamed={"a": "b"}),
        ImportTarget(renamed={"a": "b", "c": "d"}),
    )
    ids = {id_of(target, on_duplicate) for target in targets for on_duplicate in (None, "allow")}
    assert len(ids) == 2 * len(targets)
    assert id_of(ImportTarget(renamed={"c": "d", "a": "b"})) == id_of(targets[-1])
    # The ids of earlier versions, whose imports go on.
    digest, known = hashlib.sha256(FILE).hexdigest(), UUID("0d1c7f0e-53d5-4a37-9a0b-7a1f6c2f9c11")
    assert [id_of(targets[0]), id_of(targets[0], "allow")] == [
        uuid5(known, f"{digest} "),
        uuid5(known, f"{digest} allow"),
    ]


@pytest.mark.parametrize(
    ("names", "count", "said"),
    [
        ([], 0, ""),
        (["commons"], 1, ""),
        (["team"], 1, "looked in team\n"),
        (["commons", "team"], 2, "looked in commons, team\n"),
        (["a", "b"], 21, "looked in a, b and 19 more\n"),
    ],
)
def test_an_empty_answer_says_where_was_looked(
    capsys: pytest.CaptureFixture[str], names: list[str], count: int, said: str
) -> None:
    summary = SearchSummary(searched_namespaces=names, searched_namespace_count=count)
    print_search_notes(summary, with_verdict=True)
    assert capsys.readouterr() == ("", said)
    summary.hit_count = 1
    print_search_notes(summary, with_verdict=True)
    assert capsys.readouterr() == ("", "")


def test_scopes_have_the_names_of_options() -> None:
    assert scope_label(options_pb2.SCOPE_NAMESPACES_WRITE) == "namespaces:write"
    number: options_pb2.Scope.ValueType = 99  # type: ignore[assignment] # as a newer server sends it
    assert scope_label(number) == "99"
