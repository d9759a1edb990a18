"""CommonTrace: a shared memory for AI agents, served over gRPC."""

__version__ = "0.1.0"

DEFAULT_ADDRESS = "127.0.0.1:50051"
"""Where a server listens and a client calls unless told otherwise."""

KEY_METADATA = "authorization"
"""The metadata key under which callers send their API key, behind `Bearer`."""

USER_METADATA = "x-commontrace-user"
"""The metadata key under which callers without an API key say who they are, by e-mail address."""
