"""Votes: ballots, tallies, trust."""
