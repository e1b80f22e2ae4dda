"""Intake: webhooks and polls to `inbox.<vendor>`, notifications to complete snapshots in `raw.<vendor>`.

webhooks   signature, card data, acknowledged only when durable (Kafka, or the spool in PostgreSQL)
fetcher    notification -> snapshot of the root object, with its own retries
poller     regular polls and backfills, into the same inbox
"""
