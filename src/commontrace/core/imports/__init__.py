"""Imports: messages stored one transaction each."""
