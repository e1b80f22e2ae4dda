"""The delivery engine: one per connection of a target. Order, one effect, and nothing lost, whatever breaks.

Reading and order
    engine          consumer, admission, rebalance, commits, liveness
    lanes           what is in hand of a partition: one lane per order key
    offsets         up to where everything is done: what may be committed
    dispatch        begins what is ready, in batches; parked rows too; drains
    spilling        moves to rows what Kafka is about to delete

One event
    intake          many at once: read, judged, written down as claimed
    rules, planning from which events are for this connection to what is to be sent
    delivery        its steps, one after the other, and what became of it
    work            an event in hand
    attempts        a step until it is answered: outage, lookup, another try
    leases          a claim that still is ours before anything is written at the target
    ledger          the rows in PostgreSQL, fenced by partition epochs
    dead_letters    what cannot be delivered, with the reason
    remotes         ids of the target's objects

One call
    calls           limiter, one at a time per target key, verdict
    sending         the call itself; what its outcome says of limits and circuit
    batch_calls     several steps in one call; keyed_batches, compositions: with the vendor's key over the whole
    target_locks    one at a time per object, in this process; exclusive: over all replicas
    circuit         outage: pause the connection, probe, start slowly
    brake           a flood of poison pauses instead of emptying the stream into the dead letters
    batcher         many small waits made into few big ones
"""
