"""A client of stubs and gRPC alone: run by the interpreter of the previous version, it imports that version's stubs."""
