"""The generated contract: see protos/commontrace/v1."""
