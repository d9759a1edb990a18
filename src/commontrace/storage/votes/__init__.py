"""Votes and tallies."""
