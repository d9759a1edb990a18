"""Use cases of traces, searches, votes, tags, imports, events and keys. No SQL, no gRPC, no environment."""
