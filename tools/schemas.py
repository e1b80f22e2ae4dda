"""What is published of the code, written from the code: `python -m tools.schemas [--check]`.

    docs/schemas/<kind>.json                    each kind of canonical event, as its Kafka record's value
    docs/schemas/tillstream.yaml.schema.json    the configuration file, with every vendor's own settings
    docs/connectors.md                          what every connector can, from its manifest

The same code gives the same bytes. `--check` writes nothing and fails when a file is missing, different or left over.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from libs.canonical.event import SCHEMA_MAJOR, TYPE_PREFIX, Event
from libs.canonical.kinds import KINDS, KindSpec
from libs.connectors.contract.connector import FOLDER, connectors
from libs.connectors.contract.manifest import Idempotency, Limits, Manifest, SourceFacts, TargetFacts
from libs.runtime.configuration.reading import configuration_schema

ROOT = Path(__file__).parents[1]
SCHEMAS = Path("docs/schemas")
CONFIGURATION = SCHEMAS / "tillstream.yaml.schema.json"
CONNECTORS = Path("docs/connectors.md")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HEAD = """# Connectors

Written by `python -m tools.schemas` from the manifests; do not edit. How one is made:
[connectors-how-to.md](connectors-how-to.md).
"""
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class CannotLoad(Exception):
    """Connectors that cannot be imported; the message has a line for each."""


def check_connectors() -> None:
    """Import every connector; raises CannotLoad naming all that cannot be."""
    faults = []
    for manifest in sorted(FOLDER.glob("*/manifest.yaml")):
        vendor = manifest.parent.name
        try:
            _ = importlib.import_module(f"libs.connectors.{vendor}").connector
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others are looked at too
            faults.append(f"connector {vendor} cannot be loaded: {type(error).__name__}: {error}")
    if faults:
        raise CannotLoad("\n".join(faults))


def documents() -> dict[Path, str]:
    """Everything published: path below the repository's root -> content."""
    found = {SCHEMAS / f"{kind}.json": _json(event_schema(spec)) for kind, spec in KINDS.items()}
    found[CONFIGURATION] = _json(
        {"$schema": _DIALECT, **_wall_clock_times(configuration_schema()), "title": "tillstream.yaml"}
    )
    found[CONNECTORS] = connectors_page()
    return found


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _wall_clock_times(schema: Any) -> Any:
    """The schema with times as they are written here: JSON Schema's `time` demands seconds and an offset from UTC."""
    if isinstance(schema, list):
        return [_wall_clock_times(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _wall_clock_times(each) for name, each in schema.items()}
    if plain.get("format") == "time":
        del plain["format"]
        plain["pattern"] = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
    return plain


# Events -------------------------------------------------------------------------------------------------------------


def event_schema(spec: KindSpec) -> dict[str, Any]:
    """The schema of one kind's records: the envelope with that kind's data."""
    model: Any = Event.__class_getitem__(spec.model)
    schema: dict[str, Any] = model.model_json_schema(mode="serialization")
    schema["properties"]["kind"] = {"const": str(spec.kind)}
    schema["$defs"].pop("Kind", None)
    about = " ".join(inspect.cleandoc(Event.__doc__ or "").split())
    return {
        "$schema": _DIALECT,
        "$id": f"urn:{TYPE_PREFIX.rstrip('.')}:{spec.kind}.v{SCHEMA_MAJOR}",
        **schema,
        "title": f"{spec.kind}, a {spec.nature} in topic {spec.topic}",
        "description": f"{about} Readers ignore fields that they do not know.",
    }


# Connectors ---------------------------------------------------------------------------------------------------------


def connectors_page() -> str:
    """`docs/connectors.md`."""
    known = {vendor: each.manifest for vendor, each in connectors().items()}
    parts = [
        _HEAD,
        _overview(known),
        *(_section(vendor, manifest) for vendor, manifest in known.items()),
    ]
    return "\n".join(parts)


def _overview(known: Mapping[str, Manifest]) -> str:
    rows = [
        (
            f"[{manifest.title}](#{vendor})", _roles(manifest), manifest.level, manifest.checked_against,
            _limits(manifest.limits), _means(manifest.target.idempotency) if manifest.target else "-",
        )
        for vendor, manifest in known.items()
    ]  # fmt: skip
    return _table(("Vendor", "Roles", "Level", "Checked against", "Limits assumed", "One effect by"), rows)


def _roles(manifest: Manifest) -> str:
    roles = [name for name, facts in (("source", manifest.source), ("target", manifest.target)) if facts]
    return ", ".join(roles)


def _section(vendor: str, manifest: Manifest) -> str:
    links = [f"[its documentation]({manifest.documentation})"]
    if (FOLDER / vendor / "README.md").exists():
        links.insert(0, f"[set-up, edge cases and what is unverified](../libs/connectors/{vendor}/README.md)")
    # The anchor is the vendor's name in configuration, whatever its title is.
    lines = [f'<a id="{vendor}"></a>\n\n## {manifest.title}\n', f"`vendor: {vendor}`. See {', '.join(links)}.\n"]
    lines.append(_access(manifest))
    if manifest.source:
        lines.append(_source(manifest.source))
    if manifest.target:
        lines.append(_target(manifest.target))
    if manifest.exemptions:
        lines.append("Exempt from conformance rules:\n")
        lines.append(_table(("Rule", "Reason"), sorted(manifest.exemptions.items())))
    return "\n".join(lines)


def _access(manifest: Manifest) -> str:
    rotates = ", and a new refresh token at use" if manifest.authentication.rotates else ""
    schemes = {
        "bearer": "a static bearer token",
        "header": f"a static token in the header `{manifest.authentication.header}`",
        "oauth2_refresh": f"OAuth 2 with a refresh token{rotates}",
    }
    return f"Calls are authenticated by {schemes[manifest.authentication.scheme]}.\n"


def _source(facts: SourceFacts) -> str:
    rows = [
        (f"`{event}`", ", ".join(f"`{kind}`" for kind in kinds) or "nothing") for event, kinds in facts.events.items()
    ]
    return (
        f"**As a source.** Webhooks are signed in `{facts.signature.header}`: {facts.signature.over}. They are "
        f"answered within {facts.answer_budget_seconds:g} s. Feeds to poll and backfill: {', '.join(facts.feeds)}.\n\n"
        + _table(("What the vendor tells", "What may come of it"), rows)
    )


def _target(facts: TargetFacts) -> str:
    rows = [
        (f"`{kind}`", delivery.policy.replace("_", " "), _kinds(delivery.needs), _kinds(delivery.prefers))
        for kind, delivery in facts.kinds.items()
    ]
    batches = ", ".join(f"`{name}` of up to {batch.max_items}" for name, batch in facts.batches.items())
    return (
        f"**As a target.** One effect by {_means(facts.idempotency)}. Batch calls: {batches or 'none'}.\n\n"
        + _table(("Kind", "Order", "Needs", "Prefers"), rows)
    )


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds) or "-"


def _limits(limits: Limits) -> str:
    windows = [f"{window.calls:,} in {_span(window.seconds)}" for window in limits.windows]
    return ", ".join([*windows, f"{limits.concurrency} at once"])


def _means(all_means: Sequence[Idempotency]) -> str:
    words = {
        "native": "the vendor's idempotency key",
        "upsert": "upserts",
        "lookup": "looking up",
        "none": "nothing: a repeat may be a copy",
    }
    return ", then ".join(
        words[each.means] + (f" (relied on for {_span(each.horizon_seconds)})" if each.horizon_seconds else "")
        for each in all_means
    )


def _span(seconds: float) -> str:
    for size, unit in _SPANS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


# The command --------------------------------------------------------------------------------------------------------


def faults(root: Path = ROOT) -> list[str]:
    """What is not as the code has it, a plain line each."""
    wanted = documents()
    found = []
    for path, content in wanted.items():
        try:
            there = (root / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            found.append(f"{path} is missing")
            continue
        if there != content:
            found.append(f"{path} is not what the code says")
    return found + [f"{path} is left over" for path in _left_over(root, wanted)]


def _left_over(root: Path, wanted: Mapping[Path, str]) -> list[Path]:
    there = (path.relative_to(root) for path in sorted((root / SCHEMAS).glob("*.json")))
    return [path for path in there if path not in wanted]


def write(root: Path = ROOT) -> list[Path]:
    """Write what differs and remove what is left over; gives the paths touched."""
    wanted = documents()
    touched = _left_over(root, wanted)
    for path in touched:
        (root / path).unlink()
    for path, content in wanted.items():
        file = root / path
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            touched.append(path)
    return touched


def main(arguments: Sequence[str] | None = None) -> int:
    """0: as it should be (or is now); 1: not as it should be, or a connector cannot be loaded."""
    parser = argparse.ArgumentParser(prog="python -m tools.schemas", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    asked = parser.parse_args(arguments)
    try:
        check_connectors()
    except CannotLoad as error:
        print(error, file=sys.stderr)
        return 1
    if asked.check:
        found = faults()
        print("\n".join([*found, "run `make schemas`"]) if found else "up to date")
        return 1 if found else 0
    touched = write()
    print("\n".join(f"written: {path}" for path in touched) or "up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
