"""`python -m services.ops accounting`: the exporter. For people there is the command `till`."""

from __future__ import annotations

import sys

from libs.runtime.service import run_service
from services.ops import accounting


def main() -> None:
    """Start the part that is named."""
    if sys.argv[1:] != ["accounting"]:
        sys.stderr.write("usage: python -m services.ops accounting\n")
        raise SystemExit(2)
    run_service("accounting", accounting.main)


if __name__ == "__main__":
    main()
