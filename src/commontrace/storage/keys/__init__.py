"""Storage of API keys and quotas."""
