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
SEARCH_CANDIDATES = 1_000
BATCH_HITS_DEFAULT = 16
REQUEST_BYTES = 1 << 20
RESPONSE_BYTES = 2 << 20
EMAIL_CHARACTERS = 254
VECTOR_NORM_MINIMUM = 1e-6
VECTOR_NORM_MAXIMUM = 1e6
FILTER_VALUES = 20
REVISIONS = 2**31 - 1  # as many as the contract and the database can count
PAGE_ITEMS = 500
PAGE_ITEMS_DEFAULT = 50
BATCH_GET_TRACES = 100
VOTE_COMMENT_CHARACTERS = 2_000
TAG_DESCRIPTION_CHARACTERS = 500
RESOLVE_TAGS = 100
IMPORT_ITEMS = 500
SEQUENCES = 2**63 - 1  # as many as the contract and the database can count
EXPORT_TRACES = 500
EVENTS_A_MESSAGE = 100
EXPORT_TRACES_DEFAULT = 100
RESOLVED_CHARACTERS = 200
ETAG_CHARACTERS = 100
TOKEN_CHARACTERS = 1_000
