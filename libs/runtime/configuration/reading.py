"""Reading and judging `tillstream.yaml`: every fault at once, in plain words, with the place where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from libs.canonical.moments import TimeError, zone
from libs.connectors.contract.connector import UnknownVendor, connectors
from libs.connectors.contract.source import SourceSettings
from libs.runtime.configuration.model import Configuration, Connection, SecretMissing


class ConfigurationInvalid(Exception):
    """The configuration cannot be used; `faults` are plain sentences, one each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _place(location: tuple[int | str, ...], raw: Any) -> str:
    """`connections.2.id` as `connection hubspot-main: id`."""
    if len(location) >= 2 and location[0] == "connections" and isinstance(location[1], int):
        try:
            name = str(raw["connections"][location[1]].get("id", f"number {location[1] + 1}"))
        except (LookupError, TypeError, AttributeError):
            name = f"number {location[1] + 1}"
        rest = ".".join(str(part) for part in location[2:])
        return f"connection {name}: {rest}" if rest else f"connection {name}"
    return ".".join(str(part) for part in location)


_PLAIN = {
    "extra_forbidden": "is not a known setting (a typing error?)",
    "missing": "is missing",
    "model_type": "is a group of settings (name: value), not a single value",
    "tuple_type": "is a list",
    "dict_type": "is a group of settings (name: value), not a single value",
}


def _faults(error: ValidationError, raw: Any, prefix: str = "") -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        text = _PLAIN.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        yield f"{prefix}{_place(fault['loc'], raw)} {text}".strip()


def _connection_faults(connection: Connection) -> Iterator[str]:
    name = f"connection {connection.id}: "
    try:
        known = connection.connector
    except UnknownVendor as error:
        yield f"{name}{error}"
        return
    facts = known.source if connection.role == "source" else known.target
    if facts is None:
        yield f"{name}{known.manifest.title} cannot be a {connection.role}"
        return
    model: type[BaseModel] = SourceSettings if connection.role == "source" else facts.config  # type: ignore[union-attr]
    try:
        settings = model.model_validate(connection.settings)
    except ValidationError as error:
        yield from _faults(error, {}, f"{name}settings.")
    else:
        yield from _zone_faults(settings, f"{name}settings.")
    if connection.poll and connection.role == "source" and known.manifest.source:
        for feed in set(connection.poll.feeds) - set(known.manifest.source.feeds):
            yield f"{name}poll.feeds: {feed!r} is none of {', '.join(known.manifest.source.feeds)}"
    if connection.role == "source" and not connection.poll and not connection.public_url:
        yield f"{name}nothing would ever arrive: give public_url (webhooks) or poll"


def _zone_faults(settings: BaseModel, prefix: str) -> Iterator[str]:
    if not isinstance(settings, SourceSettings):
        return
    stated = {"default_timezone": settings.default_timezone}
    stated |= {f"locations.{name}.timezone": location.timezone for name, location in settings.locations.items()}
    for place, timezone in stated.items():
        try:
            zone(timezone or "UTC")
        except TimeError as error:
            yield f"{prefix}{place}: {error}"


def _overlaps(configuration: Configuration) -> Iterator[str]:
    seen: dict[str, Connection] = {}
    for connection in configuration.connections:
        if connection.id in seen:
            yield f"connection {connection.id}: two connections have this id"
        seen[connection.id] = connection
    sources = configuration.sources()
    for number, one in enumerate(sources):
        for other in sources[number + 1 :]:
            same = one.account_key == other.account_key and one.environment == other.environment
            apart = one.locations and other.locations and not set(one.locations) & set(other.locations)
            if same and not apart:
                yield (
                    f"connections {one.id} and {other.id}: both read account {one.account_key} at overlapping "
                    "locations; every sale would be looked up twice. Give each its own locations"
                )


def parse_configuration(text: str) -> Configuration:
    """The configuration in that YAML text; raises ConfigurationInvalid with every fault found."""
    return _judge(_load(text))


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file, or in all `*.yaml` files of a folder; raises ConfigurationInvalid."""
    if not path.is_dir():
        return parse_configuration(_text(path, "; set TILLSTREAM_CONFIG to the file"))
    parts = {part.name: _load(_text(part), f"{part.name}: ") for part in sorted(path.glob("*.yaml"))}
    if not parts:
        raise ConfigurationInvalid([f"{path}: the folder has no *.yaml file"])
    return _judge(_merged(parts))


def _text(path: Path, advice: str = "") -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationInvalid([f"{path}: {error.strerror or error}{advice}"]) from None
    except UnicodeDecodeError:
        raise ConfigurationInvalid([f"{path}: not readable as UTF-8"]) from None


def _load(text: str, place: str = "") -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = getattr(error, "problem", None) or error
        raise ConfigurationInvalid([f"{place}not readable as YAML: {where}{said}"]) from None
    if not isinstance(raw, dict):
        raise ConfigurationInvalid([f"{place}the file is empty or no mapping; it needs organisation and connections"])
    return raw


def _merged(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """All connections of the parts; every other setting stands in one of them."""
    merged: dict[str, Any] = {}
    said_in: dict[str, str] = {}
    faults = []
    for file, part in parts.items():
        for name, value in part.items():
            if name == "connections" and isinstance(value, list):
                merged[name] = [*merged.get(name, []), *value]
            elif name == "connections":
                faults.append(f"{file}: connections must be a list")
            elif name in merged and merged[name] != value:
                faults.append(f"{name} is given differently in {said_in[name]} and in {file}")
            else:
                merged[name] = value
                said_in.setdefault(name, file)
    if faults:
        raise ConfigurationInvalid(faults)
    return merged


def _judge(raw: dict[str, Any]) -> Configuration:
    try:
        configuration = Configuration.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationInvalid(list(_faults(error, raw))) from None
    faults = list(_overlaps(configuration))
    for connection in configuration.connections:
        faults += _connection_faults(connection)
    if faults:
        raise ConfigurationInvalid(faults)
    return configuration


def missing_secrets(connection: Connection) -> list[str]:
    """Plain sentences on secrets that are not there or were not named, judged by what the vendor needs."""
    faults = []
    for name, secret in connection.secrets.items():
        try:
            secret.read()
        except SecretMissing as error:
            faults.append(f"connection {connection.id}: secret {name}: {error}")
    needed = set(needed_secrets(connection))
    faults += [
        f"connection {connection.id}: secrets.{name} is needed and not named"
        for name in sorted(needed - set(connection.secrets))
    ]
    return faults


def needed_secrets(connection: Connection) -> tuple[str, ...]:
    """Names of the secrets without which the connection cannot work."""
    manifest = connection.connector.manifest
    scheme = manifest.authentication.scheme
    oauth = ("client_id", "client_secret", "refresh_token")
    names: tuple[str, ...] = oauth if scheme == "oauth2_refresh" else ("access_token",)
    if connection.role == "source" and connection.public_url and manifest.source:
        names += manifest.source.signature.secrets[:1]
    return names


def configuration_hash(connection: Connection) -> str:
    """A short digest of everything about the connection that shapes what it sends."""
    shaping = connection.model_dump_json(exclude={"secrets", "shadow", "limits", "poll"})
    return hashlib.sha256(shaping.encode()).hexdigest()[:12]


def configuration_schema() -> dict[str, Any]:
    """The JSON Schema of `tillstream.yaml`, with each vendor's own settings as an alternative."""
    schema = Configuration.model_json_schema()
    connection = schema["$defs"]["Connection"]
    alternatives = []
    for vendor, known in connectors().items():
        roles: list[tuple[str, type[BaseModel]]] = []
        if known.source:
            roles.append(("source", SourceSettings))
        if known.target:
            roles.append(("target", known.target.config))
        for role, model in roles:
            name = f"{vendor}_{role}_settings"
            inner = model.model_json_schema(ref_template="#/$defs/{model}")
            schema["$defs"].update(inner.pop("$defs", {}))
            schema["$defs"][name] = inner
            alternatives.append(
                {
                    "if": {"properties": {"vendor": {"const": vendor}, "role": {"const": role}}},
                    "then": {"properties": {"settings": {"$ref": f"#/$defs/{name}"}}},
                }
            )
    connection["properties"]["vendor"]["enum"] = list(connectors())
    connection["allOf"] = alternatives
    return schema
