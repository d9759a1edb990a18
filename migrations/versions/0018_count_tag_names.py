"""Counts the new names of tags that users bring in a day, beside what they read and write in a minute."""

from alembic import op

revision = "0018_count_tag_names"
down_revision = "0017_create_trace_words"

_KINDS = ("reads", "writes")


def upgrade() -> None:
    """Allows the kind."""
    _allow(*_KINDS, "tag_names")


def downgrade() -> None:
    """Forgets what was used of it."""
    op.execute("DELETE FROM quota_windows WHERE kind = 'tag_names'")
    _allow(*_KINDS)


def _allow(*kinds: str) -> None:
    op.drop_constraint(op.f("ck_quota_windows_kind"), "quota_windows")
    op.create_check_constraint(
        op.f("ck_quota_windows_kind"), "quota_windows", f"kind IN ({', '.join(map(repr, kinds))})"
    )
