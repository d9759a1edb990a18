"""All ways, of every service."""

from tests.contract.namespaces.change_ways import CHANGES
from tests.contract.namespaces.import_ways import IMPORTS
from tests.contract.namespaces.namespace_ways import NAMESPACES
from tests.contract.namespaces.other_ways import TAGS, VOTES
from tests.contract.namespaces.stream_ways import STREAM_WAYS
from tests.contract.namespaces.trace_ways import CREATIONS, READS

WAYS = (*READS, *CREATIONS, *CHANGES, *STREAM_WAYS, *IMPORTS, *VOTES, *TAGS, *NAMESPACES)
