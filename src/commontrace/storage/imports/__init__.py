"""Imports: ledger and bulk writes."""
