"""What Tillstream costs, measured beside a bare loop that does the same work without its promises.

measuring    figures of one run, and ratios of runs side by side
stand        Kafka, PostgreSQL and processes of the bench's own
scenarios    what is compared
contestants  the loops that are compared, each run in a process of its own
report       a table for people, JSON for machines
"""
