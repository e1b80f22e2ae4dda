"""The delivery ledger: one row per connection and event, written in batches, fenced by the partition's epoch.

Every statement that changes a row checks, in the same transaction and under a share lock, that this process still
owns the partition from which the row came. A process that lost the partition changes nothing.

rows        what it is told of an event, and what it answers
statements  the long statements, and the columns that go in and out
ledger      the rows of one connection
"""

from libs.runtime.engine.ledger.ledger import Ledger
from libs.runtime.engine.ledger.rows import SETTLED, WAITS_FOR_DOCUMENT, Claim, Entry, Fenced, Row, Settlement

__all__ = ["SETTLED", "WAITS_FOR_DOCUMENT", "Claim", "Entry", "Fenced", "Ledger", "Row", "Settlement"]
