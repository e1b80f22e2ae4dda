"""The delivery engine: one per connection of a target. Order, one effect, and nothing lost, whatever breaks.

engine      consumer, lanes (one per order key), admission, rebalance, commits
delivery    one event: rules, plan, claim, steps, settlement
ledger      the rows in PostgreSQL, fenced by partition epochs
calls       one call of a step: limiter, circuit, verdict; batch calls
circuit     outage: pause the connection, probe, start slowly
brake       a flood of poison pauses instead of emptying the stream into the dead letters
"""
