"""Rpc translates: messages in, one call of the core or the storage, messages out."""
