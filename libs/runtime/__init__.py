"""How a service lives: configuration, Kafka, the database, the delivery engine, HTTP, telemetry. All I/O is here."""
