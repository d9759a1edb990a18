"""Tags: canonical names and the aliases to begin with."""
