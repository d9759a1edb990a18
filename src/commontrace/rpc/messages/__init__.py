"""Message translation: the only mapping between protobuf messages and domain objects, a noun a file."""
