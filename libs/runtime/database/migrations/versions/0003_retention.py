"""Finding what is old without reading whole tables: by block ranges, which cost a write next to nothing."""

from alembic import op

revision = "0003"
down_revision = "0002"

_COLUMNS = {
    "delivery": "first_seen",
    "notification": "received_at",
    "snapshot": "at",
    "emitted": "at",
    "journey_ref": "at",
}


def upgrade() -> None:
    """Add the indexes."""
    for table, column in _COLUMNS.items():
        op.execute(f"create index {table}_age on {table} using brin ({column}) with (autosummarize = on)")


def downgrade() -> None:
    """Take them away."""
    for table in _COLUMNS:
        op.execute(f"drop index {table}_age")
