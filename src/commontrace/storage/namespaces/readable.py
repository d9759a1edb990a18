"""Namespaces of a caller as parameters of statements: the wall that every read for a caller carries (ADR 0061)."""

from sqlalchemy import ARRAY, Uuid, any_, bindparam

READABLE_IDS = any_(bindparam("namespace_ids", type_=ARRAY(Uuid)))
"""The namespaces that the statement reads (`ReadableNamespaces.ids`)."""

GRANTED_IDS = any_(bindparam("granted_ids", type_=ARRAY(Uuid)))
"""All that the caller may read (`ReadableNamespaces.granted_ids`)."""
