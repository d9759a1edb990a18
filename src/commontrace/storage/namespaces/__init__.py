"""Storage of namespaces: rows, members, a caller's access, and the switch that shuts out older servers."""
