"""The gRPC layer: translates a request into one call of the core or the storage, and the result into a response."""
