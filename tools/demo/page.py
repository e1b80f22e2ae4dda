"""The report as one page for people: no script, no resource from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_STYLE = """
:root{--ink:#1d2733;--soft:#5b6b7c;--line:#d9e0e7;--good:#1a7f4b;--bad:#c0362c;--paper:#fff;--wash:#f5f7f9}
*{box-sizing:border-box}body{margin:0;background:var(--wash);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px 64px}h1{font-size:28px;line-height:1.25;margin:0 0 4px}
h2{font-size:19px;margin:40px 0 4px}p{margin:4px 0 12px;color:var(--soft);max-width:75ch}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin:20px 0}
.card,figure{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:14px 16px;margin:0}
.card b{display:block;font-size:23px;line-height:1.2}.card span{color:var(--soft);font-size:13px}
.verdict{display:inline-block;padding:2px 10px;border-radius:99px;color:#fff;font-size:14px;background:var(--good)}
.verdict.bad{background:var(--bad)}figure{overflow-x:auto}svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;width:100%;background:var(--paper);font-size:14px}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}

.terms td,.terms th{padding:6px 5px;font-size:13px}
.matrix td,.matrix th{padding:3px 4px;font-size:12px}.matrix td.c{text-align:right;font-variant-numeric:tabular-nums;
background:#e4f4ea;border:2px solid var(--paper)}.matrix td.x{background:#f9d8d4;color:var(--bad);font-weight:700}
.matrix td.none{background:var(--wash);border:2px solid var(--paper)}.two{display:grid;gap:16px;
grid-template-columns:repeat(auto-fit,minmax(420px,1fr))}.steps{list-style:none;margin:0;padding:0}
.steps li{padding:5px 0 5px 14px;border-left:3px solid var(--line);font-size:13px}.steps li b{font-weight:600}
.steps li.good{border-color:var(--good)}.steps li.bad{border-color:var(--bad)}.steps time{color:var(--soft)}
code{font:12px ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
"""
_COLOURS = {"qbo-receipts": "#b45309", "qbo-journal": "#7c3aed", "hubspot-main": "#0f766e"}
_NAMES = {
    "qbo-receipts": "QuickBooks, a receipt for each sale", "qbo-journal": "QuickBooks, a journal for each day",
    "hubspot-main": "HubSpot, every sale",
}  # fmt: skip
_ABOUT = """Real baskets, sent as signed Square and Shopify webhooks, delivered to two QuickBooks companies and to
HubSpot. Every figure below comes from an independent check of what the vendors' simulators hold in the end."""
_WAITING = """QuickBooks is away in the shaded time. What falls due for it waits, and drains by itself afterwards, as
fast as QuickBooks allows; HubSpot does not notice. What waits for HubSpot waits for its own limit of calls: fifteen
days pass in minutes here."""
_ACCOUNTED = """Offered is counted from the topics, each other term by itself from the ledger; the difference must be
zero. Lost and twice are counted at the target, record by record."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH, _HEIGHT = 52, 16, 30, 40, 1000, 320


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    verdict = '<span class="verdict">all is well</span>'
    if not report["ok"]:
        verdict = f'<span class="verdict bad">{len(report["failures"])} failures</span>'
    parts = [
        f"<h1>Fifteen days of twenty stores {verdict}</h1>",
        _text(_ABOUT),
        _cards(report),
        _failures(report["failures"]),
        "<h2>What waited for whom</h2>",
        _text(_WAITING),
        f"<figure>{_backlog(report['backlog'], report['outage'])}</figure>",
        "<h2>Accounted for, target by target</h2>",
        _text(_ACCOUNTED),
        _targets(report["targets"]),
        "<h2>Poison, and how it healed</h2>",
        _poison(report["poison"]),
        "<h2>Every store, every day</h2>",
        _text("Net takings in dollars. Green: the till, the events and the books say the same to the cent."),
        f"<figure>{_matrix(report['days'])}</figure>",
        "<h2>Two journeys</h2>",
        _journeys(report["journeys"]),
        "<h2>Limits in force at the simulators</h2>",
        _limits(report["limits"]),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Tillstream demo</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(words: str) -> str:
    return f"<p>{escape(words)}</p>"


def _dollars(minor: int) -> str:
    return f"{minor / 100:,.2f}"


def _cards(report: Mapping[str, Any]) -> str:
    taken, outage, cards = report["taken"], report["outage"], report["card_numbers"]
    balanced = sum(day["result"] == "balanced" for day in report["days"])
    hubspot = report["latency"].get("hubspot-main", {}).get("outside_the_outage", {})
    shown = (
        (f"${_dollars(taken['minor'])}", f"net takings, {taken['sales']:,} sales, {taken['refunds']} refunds"),
        (f"{report['webhooks']['sent']:,}", f"signed webhooks, {report['webhooks']['of_them_twice']} sent twice"),
        (f"{balanced} of {len(report['days'])}", "store days balanced to the cent"),
        (f"{outage['share']:.0%}", f"of QuickBooks' documents fell due in {outage['open_seconds']:.0f} s of outage"),
        (
            f"{outage['drained_after_seconds']:.0f} s",
            f"until the {outage['waiting_at_its_end']} that waited were there",
        ),
        (f"{hubspot.get('median_seconds')} s", f"median to HubSpot, p99 {hubspot.get('p99_seconds')} s"),
        (f"{len(cards['found_in'])} of {cards['planted']}", "planted card numbers found in files, tables and targets"),
    )
    boxes = "".join(f'<div class="card"><b>{figure}</b><span>{escape(words)}</span></div>' for figure, words in shown)
    return f'<div class="cards">{boxes}</div>'


def _failures(failures: Iterable[str]) -> str:
    listed = "".join(f"<li>{escape(text)}</li>" for text in list(failures)[:40])
    return f"<h2>What is wrong</h2><ul>{listed}</ul>" if listed else ""


def _backlog(samples: list[Mapping[str, Any]], outage: Mapping[str, Any]) -> str:
    """The chart: waiting per target over time."""
    longest = max(sample["at"] for sample in samples) or 1
    waiting = {
        name: [(sample["at"], max(0, sample["due"][name] - sample["done"][name])) for sample in samples]
        for name in _COLOURS
    }
    most = max(count for points in waiting.values() for _, count in points) or 1
    step = next(size for size in (10, 20, 50, 100, 200, 500, 1000, 5000, 10**9) if most / size <= 6)
    top = (most // step + 1) * step

    def x(at: float) -> float:
        return _LEFT + at / longest * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / top * (_HEIGHT - _TOP - _BOTTOM)

    begin, end = x(outage["began_after_seconds"]), x(outage["ended_after_seconds"])
    height = _HEIGHT - _TOP - _BOTTOM
    drawn = [
        f'<rect x="{begin:.1f}" y="{_TOP}" width="{end - begin:.1f}" height="{height}" fill="#f3e3e1"/>',
        f'<text x="{(begin + end) / 2:.1f}" y="{_TOP - 10}" text-anchor="middle" fill="#c0362c">QuickBooks away</text>',
    ]
    drawn += [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}" stroke="#d9e0e7"/>'
        f'<text x="{_LEFT - 8}" y="{y(count) + 4:.1f}" text-anchor="end">{count}</text>'
        for count in range(0, top + 1, step)
    ]
    drawn += [
        f'<text x="{x(at):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(longest) + 1, 30)
    ]
    for place, (name, points) in enumerate(waiting.items()):
        path = " ".join(f"{x(at):.1f},{y(count):.1f}" for at, count in points)
        left = _LEFT + place * 290
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2"/>'
            f'<rect x="{left}" y="{_HEIGHT - 12}" width="12" height="4" fill="{_COLOURS[name]}"/>'
            f'<text x="{left + 18}" y="{_HEIGHT - 6}">{_NAMES[name]}</text>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Documents waiting per target over time" '
        f'font-family="system-ui,DejaVu Sans,sans-serif" font-size="12" fill="#5b6b7c">{"".join(drawn)}</svg>'
    )


def _targets(targets: Mapping[str, Any]) -> str:
    terms = ("offered", "delivered", "filtered", "superseded", "discarded", "parked", "dead", "difference")
    ends = ("records_checked", "lost", "duplicates_at_target", "wrong")
    words = {"records_checked": "records checked", "duplicates_at_target": "twice"}
    head = "".join(f'<th class="n">{words.get(name, name)}</th>' for name in (*terms, *ends))
    rows = "".join(
        f"<tr><td>{escape(_NAMES.get(name, name))}<br><code>{escape(name)}</code></td>"
        + "".join(f'<td class="n">{target[term]:,}</td>' for term in (*terms, *ends))
        + "</tr>"
        for name, target in targets.items()
    )
    return f'<figure><table class="terms"><tr><th>target</th>{head}</tr>{rows}</table></figure>'


def _poison(healed: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each['what'])}<br><code>{escape(each['sale'])}</code></td><td>{escape(each['before'])}<br>"
        f"<code>{escape(each['reason'])}</code></td><td>{escape(each['remedy'])}</td><td>{escape(each['after'])}"
        f"{'<br>then ' + escape(each['followed']) if each['followed'] else ''}</td></tr>"
        for each in healed
    )
    return f"<figure><table><tr><th>what</th><th>why</th><th>remedy</th><th>now</th></tr>{rows}</table></figure>"


def _matrix(days: list[Mapping[str, Any]]) -> str:
    dates = sorted({day["day"] for day in days})
    cells = {(day["location"], day["day"]): day for day in days}
    stores = sorted({(day["books"], day["store"], day["location"]) for day in days})
    head = "".join(f'<th class="n">{date[8:]}.{date[5:7]}.</th>' for date in dates)
    rows = []
    for books, store, location in stores:
        row = [f"<tr><th>{escape(store)}<br>{'receipts' if books == 'qbo-receipts' else 'journal'}</th>"]
        for date in dates:
            day = cells.get((location, date))
            if day is None:
                row.append('<td class="none"></td>')
                continue
            told = f"till {day['source']}, events {day['canonical']}, books {day['delivered']}: {day['result']}"
            kind = "c" if day["result"] == "balanced" else "c x"
            row.append(f'<td class="{kind}" title="{escape(told)}">{day["source"] / 100:,.0f}</td>')
        rows.append("".join(row) + "</tr>")
    return f'<table class="matrix"><tr><th>store</th>{head}</tr>{"".join(rows)}</table>'


def _journeys(journeys: Mapping[str, Any]) -> str:
    shown = (
        ("An ordinary sale", journeys["ordinary"]),
        ("The sale that HubSpot refused, before it was healed", journeys["healed_before"]),
        ("The same sale afterwards", journeys["healed"]),
    )
    return f'<div class="two">{"".join(_journey(title, each) for title, each in shown)}</div>'


def _journey(title: str, journey: Mapping[str, Any]) -> str:
    tones = {"good": "good", "bad": "bad", "red": "bad", "green": "good"}
    steps = "".join(
        f'<li class="{tones.get(each["tone"]) or _tone(each["what"])}"><time>{each["at"][11:19]}</time> '
        f"<b>{escape(each['where'])} {escape(each['what'])}</b> {escape(each['detail'])}</li>"
        for each in journey.get("moments", [])
    )
    head = f"<b>{escape(title)}</b><br><code>{escape(journey.get('name', ''))}</code>"
    return f'<figure>{head}<ul class="steps">{steps}</ul></figure>'


def _tone(what: str) -> str:
    return {"delivered": "good", "dead": "bad", "parked": "bad"}.get(what, "")


def _limits(limits: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(vendor)}</td><td><code>{escape(_flat(found))}</code></td></tr>"
        for vendor, found in limits.items()
    )
    return f"<figure><table><tr><th>vendor</th><th>limit</th></tr>{rows}</table></figure>"


def _flat(found: Any) -> str:
    if isinstance(found, Mapping):
        return "; ".join(f"{name}: {_flat(value)}" for name, value in found.items())
    if isinstance(found, list):
        return ", ".join(f"({_flat(each)})" for each in found)
    return str(found)
