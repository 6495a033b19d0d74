"""Alert rules and dashboard: they load, and ask for figures that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from shop import open_shop

from stasis_callback.clock import Clock
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.workers import Workers

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
GUIDE = ROOT / "docs/guides/monitoring.md"
GRAFANAS_OWN = {"$__rate_interval": "5m", "$node": ".*"}


@pytest.fixture(scope="module")
def promtool() -> Path:
    subprocess.run([ROOT / "tools/get-promtool"], check=True)
    return ROOT / ".cache/promtool"


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all figures, as they are queried."""
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        metrics = Metrics(shop.stores, Workers(), lambda: True, Clock(), TrunkHealth(Clock()))
        families = list(metrics.registry.collect())
    names: set[str] = set()
    for family in families:
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(family.name)
    return names


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def plots() -> Iterator[str]:
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def asked_for(queries: list[str]) -> set[str]:
    return {name for query in queries for name in re.findall(r"\bstasis_callback_\w+", query)}


def test_rules_load(promtool: Path) -> None:
    subprocess.run([promtool, "check", "rules", "--lint-fatal", MONITORING / "rules.yaml"], check=True)


def test_each_plot_is_a_query_that_prometheus_reads(promtool: Path, tmp_path: Path) -> None:
    rules = []
    for number, query in enumerate(plots()):
        for name, value in GRAFANAS_OWN.items():
            query = query.replace(name, value)
        rules.append({"record": f"plot:{number}", "expr": query})
    path = tmp_path / "plots.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "plots", "rules": rules}]}))
    subprocess.run([promtool, "check", "rules", path], check=True)


def test_they_ask_for_figures_that_exist(figures: set[str]) -> None:
    asked = asked_for([rule["expr"] for rule in alerts()]) | asked_for(list(plots()))
    assert asked - figures == set()


def test_each_figure_is_in_the_guide_and_no_other(figures: set[str]) -> None:
    named = set(re.findall(r"^\| `(stasis_callback_\w+)`", GUIDE.read_text(), re.MULTILINE))
    assert named == {re.sub(r"_(bucket|sum|count)$", "", figure) for figure in figures}


def test_each_alert_says_what_to_do() -> None:
    assert all({"summary", "do"} <= rule["annotations"].keys() for rule in alerts())


def test_an_alert_fires_when_it_should(promtool: Path, tmp_path: Path) -> None:
    """Prometheus's own test of rules: a queue that stands still, carriers that cost more than is charged."""
    path = tmp_path / "test.yaml"
    path.write_text(f"""
rule_files: [{MONITORING}/rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: stasis_callback_queue_age_seconds{{instance="n1"}}
        values: 0 30 90 150 210
      - series: stasis_callback_cost_total{{currency="USD"}}
        values: 0+2x400
      - series: stasis_callback_charged_total{{currency="USD",side="a"}}
        values: 0+1x400
      - series: stasis_callback_overrun_total{{currency="USD"}}
        values: 0x400
    alert_rule_test:
      - eval_time: 1m
        alertname: CallbackQueueLate
      - eval_time: 4m
        alertname: CallbackQueueLate
        exp_alerts: [{{exp_labels: {{severity: page, instance: n1}}, exp_annotations: {{
          summary: "a callback has been due for 3m 30s and is not called",
          do: "stasis-callback doctor: Asterisk, limits.live_calls, node drain"}}}}]
      - eval_time: 380m
        alertname: CallbackOverrun
      - eval_time: 380m
        alertname: CallbackCostsMoreThanItBrings
        exp_alerts: [{{exp_labels: {{severity: ticket, currency: USD}}, exp_annotations: {{
          summary: "in six hours carriers cost more USD than subscribers were charged",
          do: "stasis-callback report calls --by prefix; stasis-callback rate check"}}}}]
""")
    subprocess.run([promtool, "test", "rules", path], check=True)
