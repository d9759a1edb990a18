"""Storage of imports: bulk inserts and the log of imported items."""
