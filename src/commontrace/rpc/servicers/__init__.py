"""Servicers: unpack a message, make one call, pack the answer."""
