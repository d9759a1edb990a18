"""Rows of the matrix: none is missing for what the contract has."""

from tests.contract.calls import METHODS
from tests.contract.namespaces.request_fields import names_nothing, text_fields
from tests.contract.namespaces.ways import WAYS


def test_every_rpc_and_every_field_that_names_something_has_a_row() -> None:
    covered = {(way.rpc, field) for way in WAYS for field in way.fields}
    assert {way.rpc for way in WAYS} == set(METHODS)
    missing = {
        f"{rpc.rpartition('/')[2]}: {field}"
        for rpc, method in METHODS.items()
        for field in text_fields(method.input_type)
        if (rpc, field) not in covered and not names_nothing(field, rpc)
    }
    assert missing == set()


def test_a_row_names_fields_that_there_are() -> None:
    for way in WAYS:
        assert {field for field in way.fields if field != "update_mask"} <= set(
            text_fields(METHODS[way.rpc].input_type)
        ), way.name
