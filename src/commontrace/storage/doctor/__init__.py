"""Queries of the doctor: facts about a database, whatever its state."""
