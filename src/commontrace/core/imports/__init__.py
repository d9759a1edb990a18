"""Imports: each message is stored in one transaction."""
