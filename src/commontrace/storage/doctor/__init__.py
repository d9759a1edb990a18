"""Facts for diagnosis, read from a database as it is."""
