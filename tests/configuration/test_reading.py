"""Every fault of a configuration is told at once, in plain words, with its place, and no secret is ever shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from libs.connectors.contract.connector import connectors
from libs.runtime.configuration.model import Configuration, SecretMissing
from libs.runtime.configuration.reading import (
    ConfigurationInvalid,
    configuration_hash,
    configuration_schema,
    missing_secrets,
    parse_configuration,
    read_configuration,
)
from tests.system.configuration import SECRETS, configuration

Edit = Callable[[dict[str, Any]], object]
SQUARE, RECEIPTS, HUBSPOT = 0, 1, 3


def _content(edit: Edit | None = None) -> dict[str, Any]:
    content = configuration("http://127.0.0.1:1", 8080)
    if edit:
        edit(content)
    return content


def _read(edit: Edit | None = None) -> Configuration:
    return parse_configuration(yaml.safe_dump(_content(edit)))


def _faults(edit: Edit) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as caught:
        _read(edit)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def _set(number: int, **settings: Any) -> Edit:
    return lambda content: content["connections"][number].update(settings)


def _without(number: int, name: str) -> Edit:
    return lambda content: content["connections"][number].pop(name)


def _second_source(**settings: Any) -> Edit:
    return lambda content: content["connections"].append(
        {**content["connections"][SQUARE], "id": "square-two", **settings}
    )


GROUP = "is a group of settings (name: value), not a single value"
TYPING = "is not a known setting (a typing error?)"
FAULTS: dict[str, tuple[Edit, str]] = {
    "typing error": (_set(SQUARE, strt="now"), f"connection square-main: strt {TYPING}"),
    "typing error at the top": (lambda c: c.update(conections=[]), f"conections {TYPING}"),
    "no organisation": (lambda c: c.pop("organisation"), "organisation is missing"),
    "no connections": (lambda c: c.pop("connections"), "connections is missing"),
    "connections no list": (lambda c: c.update(connections="all"), "connections is a list"),
    "a connection without a name": (_without(HUBSPOT, "id"), "connection number 4: id is missing"),
    "unknown vendor": (
        _set(SQUARE, vendor="sqare"),
        f"connection square-main: no connector is called 'sqare'; there are: {', '.join(connectors())}",
    ),
    "missing start": (_without(SQUARE, "start"), "connection square-main: start is missing"),
    "start in other words": (
        _set(SQUARE, start="yesterday"),
        "connection square-main: start is now, beginning or a business day such as 2026-11-18",
    ),
    "one id twice": (_set(RECEIPTS, id="square-main"), "connection square-main: two connections have this id"),
    "a source as a target": (_set(SQUARE, role="target"), "connection square-main: Square cannot be a target"),
    "a target as a source": (_set(HUBSPOT, role="source"), "connection hubspot-main: HubSpot cannot be a source"),
    "settings of a target": (
        _set(HUBSPOT, settings={"pipelines": "x"}), f"connection hubspot-main: settings.pipelines {TYPING}",
    ),
    "settings of a source": (
        _set(SQUARE, settings={"default_timezon": "UTC"}), f"connection square-main: settings.default_timezon {TYPING}",
    ),
    "settings of a location": (
        _set(SQUARE, settings={"locations": {"L1": {"cutoff": "04:00"}}}),
        f"connection square-main: settings.locations.L1.cutoff {TYPING}",
    ),
    "a zone that is none": (
        _set(SQUARE, settings={"default_timezone": "Mars/Olympus"}),
        "connection square-main: settings.default_timezone: unknown time zone: 'Mars/Olympus'",
    ),
    "a location's zone that is none": (
        _set(SQUARE, settings={"locations": {"L1": {"timezone": "EST5"}}}),
        "connection square-main: settings.locations.L1.timezone: unknown time zone: 'EST5'",
    ),
    "a secret written out": (
        _set(SQUARE, secrets={"access_token": "sk"}), f"connection square-main: secrets.access_token {GROUP}",
    ),
    "a secret in two places": (
        _set(SQUARE, secrets={"access_token": {"env": "A", "file": "/a"}}),
        "connection square-main: secrets.access_token say where the secret is: either env or file",
    ),
    "a secret nowhere": (
        _set(SQUARE, secrets={"access_token": {}}),
        "connection square-main: secrets.access_token say where the secret is: either env or file",
    ),
    "a feed that is none": (
        _set(SQUARE, poll={"feeds": ["ordres"]}),
        "connection square-main: poll.feeds: 'ordres' is none of orders, refunds, customers, catalogue, inventory",
    ),
    "a source from which nothing comes": (
        _without(SQUARE, "public_url"),
        "connection square-main: nothing would ever arrive: give public_url (webhooks) or poll",
    ),
    "a negative limit": (
        _set(SQUARE, limits={"windows": [{"calls": 0, "seconds": 1}]}),
        "connection square-main: limits.windows.0.calls Input should be greater than 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place(name: str) -> None:
    """One fault, one sentence, and nothing else is complained about."""
    edit, sentence = FAULTS[name]
    assert _faults(edit) == [sentence]


def test_all_faults_are_told_at_once() -> None:
    """Nobody wants to start ten times to hear of ten faults."""

    def edit(content: dict[str, Any]) -> None:
        for number in (SQUARE, RECEIPTS, HUBSPOT):
            _set(number, settings={"no_such_thing": 1})(content)
        _without(SQUARE, "public_url")(content)

    faults = _faults(edit)
    for name in ("square-main", "qbo-receipts", "hubspot-main"):
        assert f"connection {name}: settings.no_such_thing {TYPING}" in faults
    assert FAULTS["a source from which nothing comes"][1] in faults


def test_the_example_is_accepted() -> None:
    """Without this the tests of faults would prove nothing."""
    read = _read()
    assert [c.id for c in read.sources()] == ["square-main"]
    assert [c.id for c in read.targets("quickbooks")] == ["qbo-receipts", "qbo-journal"]
    assert read.connection("hubspot-main").api_url == "http://127.0.0.1:1/hubspot"
    assert read.connection("qbo-receipts").api_url.endswith("/company/1001")
    with pytest.raises(LookupError, match="there are: square-main"):
        read.connection("nobody")


@pytest.mark.parametrize(
    ("first", "second", "accepted"),
    [
        (None, None, False), (["L1"], None, False), (None, ["L2"], False), (["L1", "L2"], ["L2"], False),
        (["L1"], ["L2"], True), ([], ["L2"], False),
    ],
)  # fmt: skip
def test_two_sources_of_one_account(first: list[str] | None, second: list[str] | None, accepted: bool) -> None:
    """Allowed only with locations of their own each; else every sale would be handled twice."""

    def edit(content: dict[str, Any]) -> None:
        _set(SQUARE, locations=first)(content)
        _second_source(locations=second)(content)

    if accepted:
        assert len(_read(edit).sources()) == 2
    else:
        [fault] = _faults(edit)
        assert fault.startswith("connections square-main and square-two: both read account square:ML1")


@pytest.mark.parametrize("other", [{"account": "ML2"}, {"environment": "production"}])
def test_sources_of_other_accounts_or_environments_do_not_overlap(other: dict[str, str]) -> None:
    """The sandbox's merchant of the same name is another one."""
    assert len(_read(_second_source(**other)).sources()) == 2


@pytest.mark.parametrize("start", ["now", "beginning", date(2026, 11, 18), "2026-11-18"])
def test_starts(start: Any) -> None:
    """A word or a day, as YAML reads it or in quotes."""
    read = _read(_set(SQUARE, start=start)).connection("square-main").start
    assert read == (date(2026, 11, 18) if str(start).startswith("2026") else start)


@pytest.mark.parametrize("text", ["", "[]", "just words", "- a\n- b", "# nothing"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    """Said in words, not as a traceback."""
    with pytest.raises(ConfigurationInvalid, match="empty or no mapping"):
        parse_configuration(text)


def test_unreadable_yaml_is_told_with_its_line() -> None:
    """As an editor counts."""
    with pytest.raises(ConfigurationInvalid, match=r"^not readable as YAML: line 3, column \d+: "):
        parse_configuration("organisation: x\nconnections: [a: {\n")
    with pytest.raises(ConfigurationInvalid, match="line 3, column 1: found character '\\\\t'"):
        parse_configuration("organisation: x\nconnections:\n\t- id: a\n")


def _folder(path: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        (path / name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_a_folder_of_files_is_one_configuration(tmp_path: Path) -> None:
    """Connections are collected in the order of the file names; other files are not read."""
    whole = _content()
    connections = whole.pop("connections")
    _folder(tmp_path, {
        "10-targets.yaml": {"connections": connections[1:]}, "00-us.yaml": {**whole, "connections": connections[:1]},
        "notes.txt": "not: [yaml", "20-empty.yaml": {"version": 1, "connections": []},
    })  # fmt: skip
    assert read_configuration(tmp_path) == _read()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.yaml": "organisation: [\n"}, r"^a\.yaml: not readable as YAML: line 2"),
        ({"a.yaml": "organisation: x", "b.yaml": "- 1"}, r"^b\.yaml: the file is empty or no mapping"),
        ({"a.yaml": "organisation: x", "b.yaml": "connections: 7"}, r"^b\.yaml: connections must be a list$"),
        (
            {"a.yaml": "organisation: x", "b.yaml": "organisation: y"},
            r"^organisation is given differently in a\.yaml and in b\.yaml$",
        ),
        ({}, r"the folder has no \*\.yaml file$"),
        ({"a.yaml": "organisation: x"}, "^connections is missing$"),
    ],
)
def test_faults_in_a_folder_name_the_file(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    """And a setting that two files give differently is not settled by the alphabet."""
    with pytest.raises(ConfigurationInvalid, match=sentence):
        read_configuration(_folder(tmp_path, files))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    """It says which, and how to name another."""
    with pytest.raises(ConfigurationInvalid, match=r"nowhere\.yaml: No such file.*TILLSTREAM_CONFIG"):
        read_configuration(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"organisation: caf\xe9")
    with pytest.raises(ConfigurationInvalid, match="not readable as UTF-8"):
        read_configuration(tmp_path / "latin.yaml")


def test_missing_secrets_are_told_by_their_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not set, empty, no such file, not named at all; what is there is not mentioned."""
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QBO_CLIENT", "  ")
    monkeypatch.setenv("QBO_SECRET", "value-of-the-secret")
    secrets = {
        "client_id": {"env": "QBO_CLIENT"}, "client_secret": {"env": "QBO_SECRET"},
        "refresh_token": {"file": str(tmp_path / "none")},
    }  # fmt: skip
    receipts = _read(_set(RECEIPTS, secrets=secrets)).connection("qbo-receipts")
    assert missing_secrets(receipts) == [
        "connection qbo-receipts: secret client_id: environment variable QBO_CLIENT is missing or empty",
        f"connection qbo-receipts: secret refresh_token: file {tmp_path / 'none'} is missing or empty",
    ]
    assert receipts.secrets["client_secret"].read() == "value-of-the-secret"
    with pytest.raises(SecretMissing, match=r"^environment variable QBO_CLIENT is missing or empty$"):
        receipts.secrets["client_id"].read()
    square = _read(_set(SQUARE, secrets={})).connection("square-main")
    assert missing_secrets(square) == [
        "connection square-main: secrets.access_token is needed and not named",
        "connection square-main: secrets.signature_key is needed and not named",
    ]


def test_a_secret_from_a_file_is_trimmed(tmp_path: Path) -> None:
    """Editors end files with a line break; tokens do not."""
    (tmp_path / "token").write_text(" t0ken\n")
    square = _read(_set(SQUARE, secrets={"access_token": {"file": str(tmp_path / "token")}})).connection("square-main")
    assert square.secrets["access_token"].read() == "t0ken"


SECRET = "sk-live-4242"


@pytest.mark.parametrize(
    "wrong",
    [
        {"secrets": {"access_token": SECRET}},
        {"secrets": {"access_token": {"value": SECRET}}},
        {"secrets": {"access_token": {"env": [SECRET]}}},
        {"secrets": {"access_token": [SECRET]}},
        {"secrets": SECRET},
        {"settings": SECRET},
        {"settings": {"default_cut_off": SECRET}},
        {"start": SECRET},
        {"role": SECRET},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(wrong: dict[str, Any]) -> None:
    """Whoever pastes a token where a name belongs does not find it in the logs."""
    assert SECRET not in "".join(_faults(_set(SQUARE, **wrong)))


def test_secrets_are_in_no_picture_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in its text, its JSON or its hash, even after they were read."""
    monkeypatch.setenv("SQUARE_TOKEN", SECRET)
    square = _read().connection("square-main")
    assert square.secrets["access_token"].read() == SECRET
    assert SECRET not in repr(square) + square.model_dump_json() + configuration_hash(square)


def test_the_hash_follows_what_shapes_the_effects() -> None:
    """Settings change it; secrets, pace and shadow do not."""
    plain = configuration_hash(_read().connection("hubspot-main"))
    for same in ({"shadow": True}, {"limits": {"concurrency": 1}}, {"secrets": {"access_token": {"env": "OTHER"}}}):
        assert configuration_hash(_read(_set(HUBSPOT, **same)).connection("hubspot-main")) == plain
    for other in ({"locations": ["L1"]}, {"start": "now"}, {"orphan": "hold"}):
        assert configuration_hash(_read(_set(HUBSPOT, **other)).connection("hubspot-main")) != plain


def _schema() -> jsonschema.Draft202012Validator:
    schema = json.loads(json.dumps(configuration_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def test_the_schema_accepts_the_example() -> None:
    """The same file that the services accept."""
    _schema().validate(_content())


@pytest.mark.parametrize(
    "name", ["typing error", "no organisation", "unknown vendor", "missing start", "settings of a target",
             "connections no list", "a secret written out", "start in other words"],
)  # fmt: skip
def test_the_schema_refuses_what_reading_refuses(name: str) -> None:
    """An editor shows the fault while it is typed."""
    assert not _schema().is_valid(_content(FAULTS[name][0]))


def test_source_settings_are_read() -> None:
    """Cut-off and zone of one location, else the defaults."""
    settings = {"default_cut_off": "03:00", "locations": {"NYC": {"cut_off": "04:00", "timezone": "America/New_York"}}}
    read = _read(_set(SQUARE, settings=settings)).connection("square-main").source_settings
    assert (read.cut_off("NYC"), read.cut_off("L9")) == (time(4), time(3))
    assert str(read.timezone("NYC", "UTC")) == "America/New_York"
    assert str(read.timezone("L9", "Europe/Berlin")) == "Europe/Berlin"
