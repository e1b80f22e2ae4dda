"""Limits shared by all who call an account; batches under one key; objects that several events need."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = """
create table call_budget (            -- one row per account of a vendor: what is leased to whom and what counts
    account text primary key, version bigint not null default 0, state text not null
) with (fillfactor = 50);
create table batch_composition (      -- what went out together under one idempotency key, as text: the same bytes again
    connection text not null, key text not null, batch text not null,
    members text[] not null,          -- the keys that the steps would have by themselves
    parts text not null, answer text, at timestamptz not null default now(),
    primary key (connection, key)
);
create index batch_composition_members on batch_composition using gin (members);
create table creation_lease (         -- who makes an object that several events need
    connection text not null, target_key text not null, holder text not null, until timestamptz not null,
    primary key (connection, target_key)
)
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in _STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    """Drop them; what is under way then may be sent twice, and limits start anew."""
    op.execute("drop table call_budget, batch_composition, creation_lease")
