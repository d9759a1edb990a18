"""Core decides: the rules of traces, tags and searches. No SQL, no gRPC, no environment."""
