"""Storage of the encoding queue, the recorded models, and re-encoding."""
