"""Tags: canonical names, starter aliases, allowance of new names."""
