"""CommonTrace: a shared memory for AI agents, served over gRPC."""

__version__ = "0.1.0"

DEFAULT_ADDRESS = "127.0.0.1:50051"
"""Where a server listens and a client calls unless told otherwise."""

USER_METADATA = "x-commontrace-user"
"""The metadata key under which callers say who they are, by e-mail address."""
