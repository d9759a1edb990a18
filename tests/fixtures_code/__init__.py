"""Runs the code inside the sample traces."""
