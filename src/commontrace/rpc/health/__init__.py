"""Health: the gRPC health service, and the readiness that it reports."""
