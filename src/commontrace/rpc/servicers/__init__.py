"""Servicers: translate a request, call the core once, translate the result."""
