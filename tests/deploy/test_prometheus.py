"""The alerts: about metrics that exist, of services that are scraped, with a runbook each."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import prometheus_client
import pytest
import yaml

from libs.runtime.telemetry import metrics
from tests.deploy.composition import ROOT, running

FOLDER = ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))


def _exported() -> dict[str, set[str]]:
    """Names as Prometheus sees them -> labels, of every metric that the process can export."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            (family,) = metric.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    return found


EXPORTED = _exported()
# What Prometheus adds itself.
_FROM_SCRAPING = {"service", "instance", "job"}


def test_metrics_were_found() -> None:
    """The names are told as Prometheus sees them."""
    assert {
        "tillstream_webhooks_total",
        "tillstream_circuit_state",
        "tillstream_call_seconds_bucket",
    } <= EXPORTED.keys()


@each_rule
def test_it_is_about_a_metric_that_exists(rule: dict[str, Any]) -> None:
    """Each name in the expression is exported, and each label it is matched or summed by is one of the metric's."""
    named = set(re.findall(r"\btillstream_\w+", rule["expr"]))
    assert named <= EXPORTED.keys()
    assert named or "up{" in rule["expr"]
    labels = {label for name in named for label in EXPORTED[name]} | _FROM_SCRAPING
    used = {label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    used |= set(re.findall(r"[{,]\s*(\w+)\s*=", rule["expr"]))
    assert used <= labels


@each_rule
def test_it_helps_whoever_is_woken(rule: dict[str, Any]) -> None:
    """It says how bad it is, what it means, and where it is written what to do."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    runbook = ROOT / rule["annotations"]["runbook_url"]
    assert runbook.parent == ROOT / "docs/runbooks"
    assert rule["alert"] in runbook.read_text()


def test_no_runbook_is_without_an_alert() -> None:
    """Each runbook is one that some alert leads to."""
    named = {rule["annotations"]["runbook_url"] for rule in RULES}
    assert named == {str(path.relative_to(ROOT)) for path in (ROOT / "docs/runbooks").glob("*.md")}


def test_every_service_is_scraped() -> None:
    """By its name in Compose, at the port it is told to use."""
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = (each for job in jobs if job["job_name"] == "tillstream" for each in job["dns_sd_configs"])
    assert set(found["names"]) == running().keys() - {"sandbox"}
    assert {service["environment"]["TILLSTREAM_METRICS_PORT"] for service in running().values()} == {str(found["port"])}


def test_every_alert_is_tested() -> None:
    """`rules_test.yml` shows each one coming at least once."""
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    shown = {check["alertname"] for test in tests for check in test["alert_rule_test"] if check["exp_alerts"]}
    assert shown == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian's package prometheus has it)"
)
@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")], ids=" ".join
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """Prometheus' own tool takes the configuration, and its rehearsal of the alerts comes out as written."""
    result = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
