"""Deliveries: one service per target vendor, one engine and one consumer group per connection."""
