"""Event types of traces. An event of a new status has the status as its type, but for DEMOTED."""

CREATED = "created"
UPDATED = "updated"
DEMOTED = "demoted"
SUPERSEDED = "superseded"
DELETED = "deleted"
UNDELETED = "undeleted"
PURGED = "purged"
