"""CommonTrace: a shared memory for AI agents, served over gRPC."""

__version__ = "0.1.0"

DEFAULT_ADDRESS = "127.0.0.1:50051"
"""The default address of servers and clients."""

KEY_METADATA = "authorization"
"""The metadata key of API keys, which follow `Bearer` (ADR 0027)."""

USER_METADATA = "x-commontrace-user"
"""The metadata key of callers without an API key: their e-mail address (ADR 0004)."""
