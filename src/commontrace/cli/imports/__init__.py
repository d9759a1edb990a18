"""Steps of `commontrace import`: reading lines, sending them, waiting for their vectors."""
