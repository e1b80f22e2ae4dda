"""The first schema: intake, transform memory, delivery ledger, books, journey."""

from alembic import op

revision = "0001"
down_revision = None

_STATEMENTS = """
-- Intake ------------------------------------------------------------------------------------------------------------
create table spool (
    id bigserial primary key,
    topic text not null, key bytea not null, value bytea not null, headers jsonb not null,
    spooled_at timestamptz not null default now()
);
create table notification (           -- every record of an inbox topic, once
    connection text not null, delivery_id text not null, type text not null, via text not null,
    root_keys text[] not null default '{}',
    outcome text not null,            -- waiting, object, no_effect, rejected
    reason text,
    received_at timestamptz not null, settled_at timestamptz,
    primary key (connection, delivery_id)
);
create index notification_waiting on notification (connection, received_at) where outcome = 'waiting';
create index notification_roots on notification using gin (root_keys);
create table notification_repeat (connection text primary key, repeats bigint not null);
create table fetch_work (             -- roots whose snapshot is still to be made
    connection text not null, root_kind text not null, root_id text not null,
    variant text not null default '',  -- the delivery's id where the notification brought parts of its own
    account_id text not null, type text not null, via text not null, have jsonb not null, delivery_ids text[] not null,
    revision bigint not null default 1, attempts int not null default 0,
    received_at timestamptz not null, next_attempt_at timestamptz not null default now(),
    claimed_until timestamptz, last_error text, traceparent text,
    primary key (connection, root_kind, root_id, variant)
);
create index fetch_work_due on fetch_work (next_attempt_at);
create table reference_part (
    connection text not null, part text not null, value jsonb not null, fetched_at timestamptz not null,
    primary key (connection, part)
);
create table feed_cursor (
    connection text not null, feed text not null, watermark timestamptz,
    lease_owner text, lease_epoch bigint not null default 0, lease_until timestamptz,
    last_success_at timestamptz, last_error text,
    primary key (connection, feed)
);
create table backfill_request (
    id bigserial primary key, connection text not null, feeds text[] not null, begin_at timestamptz not null,
    end_at timestamptz not null, requested_by text not null, at timestamptz not null default now(),
    state text not null default 'waiting',   -- waiting, running, done, failed
    found bigint not null default 0, progress text, lease_until timestamptz
);
create table oauth_token (
    connection text primary key, refresh_token bytea not null, access_token bytea, expires_at timestamptz,
    pasted_hash text, updated_at timestamptz not null default now()
);

-- Transform ---------------------------------------------------------------------------------------------------------
create table snapshot (               -- every record of a raw topic, once
    id text primary key, connection text not null, root_key text not null,
    outcome text not null,            -- mapped, no_effect, not_yet, dead
    reason text, events int not null default 0, at timestamptz not null default now()
);
create index snapshot_root on snapshot (root_key);
create table emitted (                -- the newest of each entity and kind that was told
    account text not null, kind text not null, entity_id text not null,
    event_id text not null, content_hash text not null, version bigint not null, ordinal int not null default 0,
    content jsonb, at timestamptz not null default now(),
    primary key (account, kind, entity_id)
);

-- Deliveries --------------------------------------------------------------------------------------------------------
create table partition_owner (
    connection text not null, topic text not null, partition int not null, epoch bigint not null, owner text not null,
    since timestamptz not null default now(),
    primary key (connection, topic, partition)
);
create table delivery (
    connection text not null, event_id text not null,
    kind text not null, order_key text not null, entity_id text not null, version bigint not null,
    location_id text, occurred_at timestamptz not null,
    topic text not null, partition int not null, position bigint not null,
    state text not null,              -- claimed, delivered, superseded, filtered, shadowed, discarded, parked, dead
    class text,                       -- why parked or dead: day_open, hold, behind, retry, dependency, poison, ...
    reason text,
    attempts int not null default 0, generation int not null default 0,
    epoch bigint not null, lease_until timestamptz,
    steps jsonb not null default '{}', plan_hash text, config_hash text,
    remote_id text, document text,
    seq bigserial,
    first_seen timestamptz not null default now(), sent_at timestamptz, settled_at timestamptz,
    next_attempt_at timestamptz, dead_at timestamptz, in_topic boolean not null default false,
    key bytea, value bytea, headers jsonb, traceparent text,
    primary key (connection, event_id)
);
create index delivery_locks on delivery (connection, topic, partition, order_key, seq)
    where state in ('parked', 'dead') and class not in ('day_open', 'left_out');
create index delivery_open on delivery (connection, state) where state in ('claimed', 'parked', 'dead');
create index delivery_order_key on delivery (order_key);
create index delivery_entity on delivery (entity_id);
create index delivery_remote on delivery (remote_id) where remote_id is not null;
create index delivery_document on delivery (connection, document) where document is not null;
create table delivery_tally (         -- repeats and the like; one row per partition keeps writers apart
    connection text not null, topic text not null, partition int not null, outcome text not null, n bigint not null,
    primary key (connection, topic, partition, outcome)
);
create table remote_object (
    connection text not null, ref_kind text not null, ref_key text not null, remote_id text not null,
    at timestamptz not null default now(),
    primary key (connection, ref_kind, ref_key)
);
create index remote_object_id on remote_object (remote_id);
create table connection_state (
    connection text primary key, started_at timestamptz not null default now(),
    paused_by text, paused_reason text, paused_at timestamptz,
    circuit text not null default 'closed', circuit_reason text, circuit_since timestamptz not null default now()
);
create table circuit_change (
    connection text not null, at timestamptz not null default now(), circuit text not null, reason text
);
create table dead_letter (            -- what could not be read: inbox and raw records; deliveries have their own rows
    id text primary key, stage text not null, connection text not null, entity text,
    class text not null, reason text not null, fingerprint text not null,
    topic text not null, partition int not null, position bigint not null,
    key bytea, value bytea, headers jsonb not null,
    state text not null default 'open',   -- open, replayed, discarded, superseded
    at timestamptz not null default now(), settled_at timestamptz, settled_by text
);
create table audit (
    id bigserial primary key, at timestamptz not null default now(),
    who text not null, what text not null, object text not null, detail jsonb not null default '{}',
    result text not null
);

-- Books -------------------------------------------------------------------------------------------------------------
create table business_clock (
    only_one boolean primary key default true check (only_one),
    business_at timestamptz not null, real_at timestamptz not null, speed double precision not null
);
create table book_entry (             -- the inbox of the books: one row per event
    event_id text primary key, account text not null, location_id text not null, business_day date not null,
    currency text not null, timezone text not null, cut_off time not null default '00:00',
    entity_id text not null, kind text not null, sales int not null, refunds int not null,
    lines jsonb not null, difference bigint not null, reason text,
    revision int, entered_at timestamptz not null default now(), business_entered_at timestamptz not null
);
create index book_entry_open on book_entry (account, location_id, business_day, currency) where revision is null;
create index book_entry_day on book_entry (account, location_id, business_day, currency, revision);
create table book_sale (order_key text primary key, lines jsonb not null, difference bigint not null, reason text,
    location_id text not null, business_day date not null, currency text not null, timezone text not null,
    cut_off time not null default '00:00');
create table day_close (
    account text not null, location_id text not null, business_day date not null, currency text not null,
    revision int not null,            -- 0: an empty day, recorded and not posted
    event_id text, value bytea, sales int not null default 0, refunds int not null default 0,
    closed_by text not null, closed_at timestamptz not null, published_at timestamptz,
    primary key (account, location_id, business_day, currency, revision)
);
create index day_close_unpublished on day_close (closed_at) where published_at is null and event_id is not null;
create table day_close_request (account text not null, location_id text not null, business_day date not null,
    currency text not null, requested_by text not null, at timestamptz not null default now());
create table book_location (account text not null, location_id text not null, currency text not null,
    timezone text not null, cut_off time not null default '00:00', first_day date not null,
    primary key (account, location_id, currency));

-- Journey -----------------------------------------------------------------------------------------------------------
create table journey_ref (ref text not null, order_key text not null, event_id text not null, kind text not null,
    occurred_at timestamptz not null, location_id text, at timestamptz not null default now(),
    primary key (ref, event_id));
create index journey_event on journey_ref (event_id);
create index journey_order_key on journey_ref (order_key)
"""


def upgrade() -> None:
    """Create everything."""
    for statement in _STATEMENTS.split(";\n"):
        op.execute(statement.replace(":", "\\:"))


def downgrade() -> None:
    """There is nothing before the first schema."""
    raise RuntimeError("the first schema cannot be taken back; drop the database instead")
