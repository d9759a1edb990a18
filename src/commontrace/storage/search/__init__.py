"""Search statements: vector index, sign table, words, filter."""
