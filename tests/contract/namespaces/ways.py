"""All ways, of every service."""

from tests.contract.namespaces.other_ways import OTHER_WAYS
from tests.contract.namespaces.stream_ways import STREAM_WAYS
from tests.contract.namespaces.trace_ways import TRACE_WAYS

WAYS = (*TRACE_WAYS, *STREAM_WAYS, *OTHER_WAYS)
