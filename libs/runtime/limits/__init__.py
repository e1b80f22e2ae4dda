"""One rate limit per account of a vendor, whoever calls: all services and replicas share it through PostgreSQL.

budget   the arithmetic: what is leased to whom, what counts, what is free; pure
shared   the budget's row in the database, changed by one process at a time
line     who waits here, the urgent first, nobody for ever
limiter  leave to make one call, out of what is leased
quota    what a vendor's headers say of the calls that are left; pure
"""

from libs.runtime.limits.limiter import Limiter
from libs.runtime.limits.line import Urgency
from libs.runtime.limits.shared import shared_limiter

__all__ = ["Limiter", "Urgency", "shared_limiter"]
