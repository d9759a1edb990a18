"""Content hash: equal for traces of the same content (ADR 0008)."""

import hashlib
import re
import unicodedata
from uuid import UUID

from commontrace.domain.namespaces.namespace import COMMONS_ID

# NFC takes quadratic time for a long run of combining marks: seconds for 50,000 (ADR 0041). Combining marks are neither
# word characters nor ASCII.
_LONG_RUN = re.compile(r"[^\w\x00-\x7f]{100}")


def content_hash(title: str, context: str, solution: str) -> bytes:
    """Returns the SHA-256 of the texts in UTF-8, each preceded by its length in bytes (8 bytes, big-endian).

    Texts are normalised first: NFC, LF line ends, no trailing space. A text with a hundred successive characters that
    are neither ASCII nor word characters is not brought to NFC.
    """
    digest = hashlib.sha256()
    for text in (title, context, solution):
        # ASCII is in NFC.
        composed = text if text.isascii() or _LONG_RUN.search(text) else unicodedata.normalize("NFC", text)
        encoded = composed.replace("\r\n", "\n").replace("\r", "\n").rstrip().encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()


def hash_in_namespace(hashed: bytes, namespace_id: UUID) -> bytes:
    """Returns what is stored of a content hash in a namespace: a stored hash is unique, whatever the namespace.

    In `commons` that is the content hash itself, which servers know that know no other namespace (ADR 0061).
    """
    return hashed if namespace_id == COMMONS_ID else hashlib.sha256(namespace_id.bytes + hashed).digest()
