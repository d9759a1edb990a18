"""Namespaces that an import stores traces in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from commontrace.domain.namespaces.namespace import COMMONS


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportTarget:
    """One `namespace` for all traces, or new names for those of the records; by default, those of the records."""

    namespace: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)

    def namespace_of(self, recorded: str) -> str:
        """Returns the namespace for a record of `recorded`; "" counts as `commons`, and stays "" unless renamed."""
        return self.renamed.get(recorded or COMMONS, recorded)

    def __str__(self) -> str:
        """Tells targets apart; empty where the records decide."""
        return self.namespace or " ".join(sorted(f"{old}={new}" for old, new in self.renamed.items()))
