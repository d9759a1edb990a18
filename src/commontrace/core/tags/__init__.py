"""Tags: vocabulary, aliases, quota of new names."""
