"""API keys and quotas: management, cache, counting."""
