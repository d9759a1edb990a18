"""What everybody reads where there is no other namespace than `commons`."""

from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.traces.trace_filter import everything_in

IN_COMMONS = COMMONS_ONLY.readable

EVERY_TRACE = everything_in(IN_COMMONS)
"""The filter that every trace passes, superseded ones too."""
