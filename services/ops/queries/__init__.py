"""Every SQL statement of the operator's room, one module a subject."""
