"""Storage of votes and tallies."""
