"""`python -m services.ingest webhooks|fetcher|poller`."""

from __future__ import annotations

import sys

from libs.runtime.service import run_service


def main() -> None:
    """Start the part that is named."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "webhooks":
        from services.ingest.server import serve

        run_service("ingest-webhooks", serve)
    elif part == "fetcher":
        from services.ingest.fetcher import fetch

        run_service("ingest-fetcher", fetch)
    elif part == "poller":
        from services.ingest.poller import poll

        run_service("ingest-poller", poll)
    else:
        sys.stderr.write("usage: python -m services.ingest webhooks|fetcher|poller\n")
        raise SystemExit(2)


if __name__ == "__main__":
    main()
