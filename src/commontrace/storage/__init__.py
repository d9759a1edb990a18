"""Storage remembers: the tables, the SQL that reads and writes them, and the Postgres it may run."""
