"""What happens to traces, as those who watch them are told; and a status, which is told by its own name."""

CREATED = "created"
UPDATED = "updated"
DEMOTED = "demoted"
SUPERSEDED = "superseded"
DELETED = "deleted"
UNDELETED = "undeleted"
PURGED = "purged"
