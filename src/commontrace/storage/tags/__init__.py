"""Storage of tags, aliases, and the tags of traces."""
