"""The loops that are compared. Each module has `run(task, progress, stopping)`, called in a process of its own."""
