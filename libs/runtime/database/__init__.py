"""PostgreSQL: the pool, and the schema with its migrations."""
