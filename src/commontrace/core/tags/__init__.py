"""Tags: resolving spellings, updates, merges, quota of new names."""
