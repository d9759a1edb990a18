"""The largest values a request may carry. Characters are Unicode code points."""

TITLE_CHARACTERS = 200
CONTEXT_CHARACTERS = 50_000
SOLUTION_CHARACTERS = 50_000
TAGS = 20
TAG_CHARACTERS = 50
AGENT_MODEL_CHARACTERS = 100
AGENT_VERSION_CHARACTERS = 50
METADATA_BYTES = 10_000
# A response holds an object two messages deeper than a request does, and parsers give up at a hundred messages, three
# of them for an object in an object: what only just fits a request would make every answer that holds it unreadable.
METADATA_LEVELS = 16
QUERY_CHARACTERS = 8_000
SEARCH_HITS = 1_000
SEARCH_HITS_DEFAULT = 10
BATCH_HITS_DEFAULT = 16
REQUEST_BYTES = 1 << 20
RESPONSE_BYTES = 2 << 20
EMAIL_CHARACTERS = 254
VECTOR_NORM_MINIMUM = 1e-6
VECTOR_NORM_MAXIMUM = 1e6
