"""When two traces have the same content."""

import hashlib
import re
import unicodedata

# Sorting a long run of combining marks takes NFC time by the square of its length: seconds for 50,000. Whatever can be
# in such a run is neither a word character nor ASCII.
_LONG_RUN = re.compile(r"[^\w\x00-\x7f]{100}")


def content_hash(title: str, context: str, solution: str) -> bytes:
    """Returns the SHA-256 of the texts, each preceded by its length in bytes (8 bytes, big-endian) and in UTF-8.

    Before, texts are brought to NFC, their line ends to LF, and space at their end is dropped. A text with a hundred
    successive characters that are neither ASCII nor word characters is not brought to NFC.
    """
    digest = hashlib.sha256()
    for text in (title, context, solution):
        # ASCII is composed as it is.
        composed = text if text.isascii() or _LONG_RUN.search(text) else unicodedata.normalize("NFC", text)
        encoded = composed.replace("\r\n", "\n").replace("\r", "\n").rstrip().encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()
