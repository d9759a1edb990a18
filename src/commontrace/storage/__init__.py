"""Storage layer: the tables, the SQL that reads and writes them, and the embedded Postgres."""
