"""The page at `/`: which vendors are here, what goes wrong at each, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from services.sandbox.faults import KINDS
from services.sandbox.vendor import Vendor

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tillstream sandbox</title>
<style>
:root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-top: 1px solid var(--line); }}
th {{ font-weight: 600; }}
code {{ font: 13px/1.5 ui-monospace, monospace; }}
dl {{ display: grid; grid-template-columns: max-content auto; gap: 0 .75rem; margin: 0; }}
dt {{ opacity: .7; }} dd {{ margin: 0; }}
.fault {{ color: #b3261e; font-weight: 600; }}
@media (prefers-color-scheme: dark) {{ .fault {{ color: #ff8a80; }} }}
</style>
<h1>Tillstream sandbox</h1>
<p>Simulators of vendors' APIs. Nothing here reaches a vendor.</p>
<table>
<thead><tr><th scope="col">Vendor</th><th scope="col">API below</th><th scope="col">Fault</th>
<th scope="col">Limits</th><th scope="col">So far</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>Order a fault: <code>curl -X PUT -d '{{"kind": "down"}}' http://HOST/_sandbox/VENDOR/fault</code>.
Kinds: {kinds}. Also: <code>probability</code>, <code>seconds</code>, <code>match</code>, <code>method</code>,
<code>count</code>, <code>seed</code>.</p>
</html>
"""

_ROW = """<tr><td>{name}</td><td><code>/{name}/</code></td><td>{fault}</td><td>{limits}</td><td>{counters}
<p>{links}</p></td></tr>"""


def index_page(vendors: Mapping[str, Vendor]) -> str:
    """The page as HTML."""
    rows = "\n".join(_row(name, vendor) for name, vendor in vendors.items())
    return _PAGE.format(rows=rows, kinds=", ".join(f"<code>{kind}</code>" for kind in KINDS))


def _row(name: str, vendor: Vendor) -> str:
    links = (f'<a href="/_sandbox/{escape(name)}/{what}">{what}</a>' for what in ("state", "calls", "fault"))
    return _ROW.format(
        name=escape(name),
        fault=_fault(vendor),
        limits=_pairs(vendor.simulator.limits()),
        counters=_pairs(vendor.simulator.counters()),
        links=" ".join(links),
    )


def _fault(vendor: Vendor) -> str:
    if vendor.switch.fault.kind == "none":
        return "none"
    order = {name: value for name, value in vendor.switch.shown().items() if name != "kind" and value is not None}
    return f'<span class="fault">{escape(vendor.switch.fault.kind)}</span>{_pairs(order)}'


def _pairs(pairs: Mapping[str, Any]) -> str:
    items = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd>" for name, value in pairs.items())
    return f"<dl>{items}</dl>" if items else "none"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)
