"""A chain of twenty stores, fifteen business days: real baskets through the whole system, in minutes.

    python -m tools.demo          (or: make demo)

`baskets` reads the real shopping, `till` adds what a till adds (by a seeded rule, see docs/demo.md), `square_*` and
`shopify_*` write it as those vendors would, `play` sends it, `tools/verify_demo.py` checks it without any of this code.
"""
