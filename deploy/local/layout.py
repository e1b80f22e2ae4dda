"""Where things of the local stack lie. Everything stays inside the checkout, except one folder for root.

(PostgreSQL refuses root, and another user may not be able to reach the checkout: see `postgres.py`.)
"""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL = REPOSITORY / ".local"
DEFAULT_STACK = LOCAL / "stack"
CACHE = LOCAL / "cache"
TOOLCHAIN = LOCAL / "toolchain"
