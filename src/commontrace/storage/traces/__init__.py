"""Storage of traces: rows, revisions, changes, lists, exports, purges."""
