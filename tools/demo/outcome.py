"""After the last day: the independent check, the search for card numbers, the report and the closing summary."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from deploy.local.layout import REPOSITORY
from tools.demo.baskets import DAYS
from tools.demo.configuration import setup
from tools.demo.disk_search import Search, search
from tools.demo.hooks import as_json
from tools.demo.installation import FOLDER, DemoFailed, Installation, Running, data_folders, till
from tools.demo.latency import latencies
from tools.demo.observing import Observer
from tools.demo.page import page
from tools.demo.play import Played
from tools.demo.story import Story
from tools.demo.vendors import VENDORS, Sender, Simulators

REPORT, PAGE, STATE = FOLDER / "report.json", FOLDER / "report.html", FOLDER / "state"
_LEAST_SHARE = 0.30  # of QuickBooks' documents that must fall due while it is away
_SOURCES = ("square", "shopify")


async def conclude(
    story: Story, installation: Installation, running: Running, simulators: Simulators, sender: Sender,
    observer: Observer, played: Played, began: float, *, keep: bool,
) -> int:  # fmt: skip
    """Check, write `report.json` and `report.html`, say how it went; gives the exit status."""
    played_seconds = time.monotonic() - began
    report = await _verified(story, running, observer)
    report["outage"] = _outage(report, played, observer)
    report["poison"] = [vars(healed) for healed in played.healed]
    report["late_upload"] = {"sale": story.happenings.late_upload.id, "arrives_after_days": 2}
    report["webhooks"] = {
        "sent": sender.sent, "of_them_twice": sender.twice, "overtaken": sender.overtaken,
        "slowest_answer_seconds": round(sender.slowest, 3),
    }  # fmt: skip
    healed = [each.sale for each in played.healed]
    until = played.drained_at
    window = (played.outage_real[0], until) if played.outage_real and until else None
    report["latency"] = latencies(await observer.deliveries(), sender.first_sent, window, healed)
    report["journeys"] = await _journeys(story, running, played)
    report["backlog"] = [sample.as_json() for sample in observer.samples]
    states = {vendor: as_json(await simulators.state(vendor)) for vendor in VENDORS}
    tables = await observer.contents()
    if not keep:
        await observer.end()
        await installation.stop_services()
        await installation.stop_stack()
    found = await asyncio.to_thread(
        search,
        data_folders(),
        tables,
        {vendor: states[vendor] for vendor in VENDORS if vendor not in _SOURCES},
        b"".join(states[vendor] for vendor in _SOURCES),
    )
    report["card_numbers"] = found.as_json()
    report["seconds"] = {"played": round(played_seconds, 1), "whole": round(time.monotonic() - began, 1)}
    report["failures"] += _own_failures(report, found)
    report["ok"] = not report["failures"]
    REPORT.write_text(json.dumps(report, indent=1, default=str, ensure_ascii=False) + "\n")
    PAGE.write_text(page(report))
    print("\n".join(_summary(report)), flush=True)
    return 0 if report["ok"] else 1


async def _verified(story: Story, running: Running, observer: Observer) -> dict[str, Any]:
    """What `tools/verify_demo.py` finds. Raises DemoFailed when it cannot be run."""
    status = await till(running.env, "status")
    status["canonical_days"] = await observer.canonical_days()
    days = [(story.first_day + timedelta(days=number)).isoformat() for number in range(DAYS)]
    files = {"status": FOLDER / "status.json", "setup": FOLDER / "setup.json"}
    files["status"].write_text(json.dumps(status, default=str))
    files["setup"].write_text(json.dumps(setup(story.stores, days)))
    out = FOLDER / "verified.json"
    out.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "tools/verify_demo.py", "--sandbox", running.sandbox, "--setup", str(files["setup"]),
        "--status", str(files["status"]), "--save", str(STATE), "--out", str(out),
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    if not out.exists():
        raise DemoFailed(f"tools/verify_demo.py could not be run: {errors.decode()[-600:]}")
    return _read(out)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _outage(report: dict[str, Any], played: Played, observer: Observer) -> dict[str, Any]:
    begin, end, real = played.outage_begins, played.outage_ends, played.outage_real
    assert begin is not None
    assert end is not None
    assert real is not None
    names = ("qbo-receipts", "qbo-journal")
    last = observer.samples[-1]
    meanwhile = sum(end.due[name] - begin.due[name] for name in names)
    documents = sum(last.due[name] for name in names)
    return {
        "open_seconds": round((real[1] - real[0]).total_seconds(), 1),
        "began_after_seconds": round(begin.at, 1),
        "ended_after_seconds": round(end.at, 1),
        "documents_due_meanwhile": meanwhile,
        "documents": documents,
        "share": round(meanwhile / documents, 3),
        "waiting_at_its_end": sum(end.waiting(name) for name in names),
        "drained_after_seconds": round(played.drained_after, 1),
        "dead_letters_by_class": played.dead_in_outage,
        "hubspot_delivered_meanwhile": end.done["hubspot-main"] - begin.done["hubspot-main"],
    }


async def _journeys(story: Story, running: Running, played: Played) -> dict[str, Any]:
    """The journey of an ordinary sale and of a healed one, as `till trace` tells them."""
    befallen = {each.sale for each in played.healed} | {back.sale.id for back in story.happenings.give_backs}
    ordinary = next(s for s in story.sales if s.id not in befallen and s.person and s.total and s.day == DAYS - 1)
    healed = next(each for each in played.healed if each.connection == "hubspot-main")
    return {
        "ordinary": await till(running.env, "trace", ordinary.id),
        "healed": await till(running.env, "trace", healed.sale),
        "healed_before": healed.journey,
    }


def _own_failures(report: dict[str, Any], found: Search) -> list[str]:
    """What must hold besides the books."""
    outage = report["outage"]
    failures = []
    if outage["share"] < _LEAST_SHARE:
        failures.append(f"only {outage['share']:.0%} of QuickBooks' documents fell due while it was away")
    failures += [
        f"{n} dead letters at {name} because of the outage" for name, n in outage["dead_letters_by_class"].items()
    ]
    failures += [f"card number found in {place}" for place in found.found]
    if found.control != found.planted:
        failures.append(
            f"the search is blind: {found.control} of {found.planted} plants seen at the vendors themselves"
        )
    if len(report["poison"]) != 3:
        failures.append(f"{len(report['poison'])} of 3 poison events were healed")
    return failures


def _money(minor: int) -> str:
    return f"${minor / 100:,.2f}"


def _summary(report: dict[str, Any]) -> list[str]:
    """At most 25 lines that a retailer understands."""
    taken, outage, cards = report["taken"], report["outage"], report["card_numbers"]
    hooks, days = report["webhooks"], report["days"]
    balanced = sum(day["result"] == "balanced" for day in days)
    largest = max((day["difference"] for day in days), default=0)
    lines = [
        "",
        (
            f"Money in      {_money(taken['minor'])} net: {taken['sales']:,} sales, {taken['refunds']} refunds, "
            f"{taken['stores']} stores, {DAYS} days"
        ),
        (
            f"Webhooks      {hooks['sent']:,} signed, {hooks['of_them_twice']} sent twice, "
            f"{hooks['overtaken']} out of order"
        ),
        (
            f"Outage        QuickBooks away for {outage['open_seconds']:.0f} s (six business days): "
            f"{outage['documents_due_meanwhile']} of {outage['documents']} documents fell due ({outage['share']:.0%}),"
        ),
        (
            f"              {outage['waiting_at_its_end']} waited, all there {outage['drained_after_seconds']:.0f} s "
            f"after it came back, dead letters because of it: {sum(outage['dead_letters_by_class'].values())};"
        ),
        f"              HubSpot got {outage['hubspot_delivered_meanwhile']} sales and refunds meanwhile",
    ]
    for healed in report["poison"]:
        followed = f"; then followed {healed['followed']}" if healed["followed"] else ""
        lines.append(f"Poison        {healed['what']} ({healed['before']}): {healed['remedy']}{followed}")
    for name, target in report["targets"].items():
        parts = " + ".join(
            f"{target[term]:,} {term}" for term in ("delivered", "filtered", "superseded", "discarded") if target[term]
        )
        lines.append(
            f"{name:14}{target['offered']:,} events offered = {parts}; lost {target['lost']}, "
            f"twice {target['duplicates_at_target']}, wrong {target['wrong']}"
        )
    lines.append(
        f"Books         {balanced} of {len(days)} store days balanced (till = events = books), "
        f"largest difference {_money(largest)}"
    )
    lines.append(
        f"Card numbers  {cards['planted']} planted, found in {cards['files_searched']:,} files and "
        f"{cards['tables_searched']} tables afterwards: {len(cards['found_in'])}"
    )
    for name, each in report["latency"].items():
        figures = each["outside_the_outage"]
        what = "from close" if name == "qbo-journal" else "from receipt"
        lines.append(
            f"Delivered     {name}: median {figures['median_seconds']} s, p99 {figures['p99_seconds']} s {what}"
        )
    lines.append(f"Report        {PAGE.relative_to(REPOSITORY)} and {REPORT.relative_to(REPOSITORY)}")
    sale = report["poison"][0]["sale"] if report["poison"] else "ID"
    lines.append(f"Try next      KEEP=1 make demo, then .venv/bin/till trace {sale}")
    lines.append(
        f"All is well: every sale is where it belongs, once, to the cent ({report['seconds']['whole']:.0f} s)."
        if report["ok"]
        else f"NOT WELL: {len(report['failures'])} failures. First: {report['failures'][0]}"
    )
    return lines
