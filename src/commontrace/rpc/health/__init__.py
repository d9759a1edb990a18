"""Health: the gRPC health service and what it says."""
