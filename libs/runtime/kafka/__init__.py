"""The one room that touches a Kafka client: topics, records, writing and reading."""
