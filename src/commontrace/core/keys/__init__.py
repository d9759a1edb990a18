"""API keys and quotas: management, cache, leases."""
