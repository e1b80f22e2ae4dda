"""Every metric there is, in one closed list. Labels are ids of connections, kinds and outcomes: never data."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

WEBHOOKS = Counter("tillstream_webhooks_total", "Webhooks by answer", ["connection", "outcome"])
WEBHOOK_SECONDS = Histogram(
    "tillstream_webhook_seconds", "Time to answer a webhook", ["connection"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5, 5),
)  # fmt: skip
SPOOLED = Gauge("tillstream_spooled_records", "Webhooks kept in PostgreSQL until Kafka takes them")
CARD_DATA_CUT = Counter(
    "tillstream_card_data_cut_total", "Values cut because they were card data", ["connection", "rule"]
)
FETCHES = Counter("tillstream_fetches_total", "Objects asked of a vendor for snapshots", ["connection", "outcome"])
FETCH_WAITING = Gauge("tillstream_fetch_waiting", "Objects whose snapshot is still to be made", ["connection"])
SNAPSHOTS = Counter("tillstream_snapshots_total", "Snapshots by what became of them", ["connection", "outcome"])
EVENTS = Counter("tillstream_events_total", "Canonical events written", ["kind"])
FEED_AGE = Gauge("tillstream_feed_age_seconds", "Age of a feed's watermark", ["connection", "feed"])

OFFERED = Gauge(
    "tillstream_offered_events", "Distinct events in the topics of a connection, read from the topics", ["connection"]
)
ACCOUNTED = Gauge(
    "tillstream_accounted_events", "Distinct events of a connection by what became of them", ["connection", "outcome"]
)
MISMATCH = Gauge(
    "tillstream_accounting_mismatch", "Offered minus accounted for; anything but 0 is wrong", ["connection"]
)
DUPLICATES = Counter("tillstream_duplicates_total", "Records of an event seen before", ["connection"])
ATTEMPTS = Counter("tillstream_attempts_total", "Calls to a target by verdict", ["connection", "verdict"])
CALL_SECONDS = Histogram("tillstream_call_seconds", "Time of a call to a target", ["connection"])
CIRCUIT = Gauge("tillstream_circuit_state", "0 closed, 1 half open, 2 open, 3 paused by an operator", ["connection"])
PARKED = Gauge("tillstream_parked_records", "Events set aside", ["connection", "reason"])
DEAD = Gauge("tillstream_dead_letters_open", "Dead letters that need a person", ["connection"])
UNKNOWN_OUTCOMES = Counter(
    "tillstream_ledger_unknown_outcomes_total", "Writes whose outcome had to be resolved", ["connection", "by"]
)
OLDEST_AGE = Gauge("tillstream_oldest_unprocessed_age_seconds", "Age of the oldest event in hand", ["connection"])
LATENCY = Histogram(
    "tillstream_end_to_end_latency_seconds", "From receipt to delivery", ["connection"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400),
)  # fmt: skip
HEADROOM = Gauge(
    "tillstream_retention_headroom_seconds", "Time until Kafka would delete the oldest unread record", ["connection"]
)
RETENTION = Gauge(
    "tillstream_retention_seconds", "How long Kafka keeps the topic of that oldest unread record", ["connection"]
)
COUNTED = Gauge("tillstream_accounting_counted_timestamp_seconds", "When everything offered was last counted")
PRUNED = Counter("tillstream_pruned_rows_total", "Rows forgotten because their time was over", ["table"])
DAYS = Counter("tillstream_days_closed_total", "Business days closed, by revision kind", ["revision"])
LAST_PROGRESS = Gauge("tillstream_last_progress_timestamp_seconds", "When a loop last went round", ["loop"])
RECORDS = Counter("tillstream_processed_records_total", "Records finished by a loop", ["loop"])
