"""Limits shared by all who call an account."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = """
create table call_budget (            -- one row per account of a vendor: what is leased to whom and what counts
    account text primary key, version bigint not null default 0, state text not null
) with (fillfactor = 50)
"""


def upgrade() -> None:
    """Create the table."""
    for statement in _STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    """Drop it; limits are then counted by nobody."""
    op.execute("drop table call_budget")
