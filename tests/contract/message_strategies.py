"""Messages of any type at random, as their descriptors allow."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.contract.errors.error_row import UNKNOWN_ID, objects

text = st.text(max_size=80)
ids = st.uuids().map(str) | st.just(UNKNOWN_ID) | text
int32 = st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 20)
enums = st.integers(-1, 5)
_paths = st.sampled_from(["title", "tags", "metadata", "description", "visibility", "is_curated", "id", "*"]) | text
_namespaces = st.sampled_from(["commons", "team", "-", "a" * 64]) | text
_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=12,
)


def _struct(value: dict[str, Any]) -> Struct:
    struct = objects(1)
    struct.update(value)
    return struct


structs = st.dictionaries(st.text(max_size=5), _json, max_size=4).map(_struct)


def messages(descriptor: Descriptor) -> SearchStrategy[Message]:
    """Any of the fields set to anything of its type."""
    if descriptor.full_name == Struct.DESCRIPTOR.full_name:
        return structs
    fields: dict[str, SearchStrategy[Any]] = {field.name: _values(field) for field in descriptor.fields}
    kind = GetMessageClass(descriptor)
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: kind(**values))


def _values(field: FieldDescriptor) -> SearchStrategy[Any]:
    one = _value(field)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _value(field: FieldDescriptor) -> SearchStrategy[Any]:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            assert field.message_type is not None
            return messages(field.message_type)
        case FieldDescriptor.TYPE_STRING:
            named_paths = _paths if field.name == "paths" else text
            named = _namespaces if "namespace" in field.name else named_paths
            return ids if field.name.endswith(("id", "ids")) else named
        case FieldDescriptor.TYPE_ENUM:
            return enums
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return st.floats(width=32)
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=40)
        case FieldDescriptor.TYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1) | int32
        case FieldDescriptor.TYPE_INT32:
            return int32
    raise AssertionError(f"{field.full_name} has a type that no request had before")
