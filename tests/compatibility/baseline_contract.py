"""The contract of version 0.1.0, which newer ones only add to (CONTRIBUTING.md says how its descriptors are made)."""

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

DESCRIPTORS = Path(__file__).with_name("0.1.0.binpb")
COMMIT = Path(__file__).with_name("baseline").read_text().strip()
"""The commit whose protos the descriptors are, and whose server and client are those of before."""


def rpcs() -> frozenset[str]:
    """The path of every RPC, such as `/commontrace.v1.TagService/GetTag`."""
    return frozenset(
        f"/{file.package}.{service.name}/{method.name}"
        for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
        for service in file.service
        for method in service.method
    )
