"""Adds the daily quota of new tag names to the quotas of reads and writes in a minute."""

from alembic import op

revision = "0018_count_tag_names"
down_revision = "0017_create_trace_words"

_KINDS = ("reads", "writes")


def upgrade() -> None:
    """Allows the kind of quota."""
    _allow(*_KINDS, "tag_names")


def downgrade() -> None:
    """Drops its counts."""
    op.execute("DELETE FROM quota_windows WHERE kind = 'tag_names'")
    _allow(*_KINDS)


def _allow(*kinds: str) -> None:
    op.drop_constraint(op.f("ck_quota_windows_kind"), "quota_windows")
    op.create_check_constraint(
        op.f("ck_quota_windows_kind"), "quota_windows", f"kind IN ({', '.join(map(repr, kinds))})"
    )
