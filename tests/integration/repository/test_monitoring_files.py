"""Files for Prometheus and Grafana: queries parse, and every name they refer to exists."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from commontrace.v1.error_reason_pb2 import ErrorReason
from tests.support.repository import REPOSITORY

PLACE = REPOSITORY / "docs" / "monitoring"
PAGE = (REPOSITORY / "docs" / "monitoring.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((PLACE / "grafana" / "commontrace.json").read_text())
[GROUP] = yaml.safe_load((PLACE / "alarms.yml").read_text())["groups"]
ALARMS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in GROUP["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}


def queries() -> Iterator[str]:
    """Every query, of panels with Grafana's variables filled in."""
    yield from (rule["expr"] for rule in ALARMS.values())
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m")
            assert set(re.findall(r"\$(\w+)", query)) <= VARIABLES
            yield re.sub(r"\$\w+", ".*", query)


def metrics_asked_for() -> set[str]:
    """The names in all queries, of histograms and counters as Prometheus stores them."""
    return {name for query in queries() for name in re.findall(r"\b(?:commontrace|process|up)\w*(?=[{\s\[)]|$)", query)}


@pytest.mark.parametrize("query", list(queries()))
def test_queries_parse(query: str) -> None:
    promql_parser.parse(query)


def test_panels_have_a_place_of_their_own_and_the_datasource_that_is_there() -> None:
    [source] = yaml.safe_load((PLACE / "grafana" / "datasource.yml").read_text())["datasources"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(set(ids)) == len(places)
    asked = [*PANELS, *DASHBOARD["templating"]["list"]]
    assert {(item["datasource"]["type"], item["datasource"]["uid"]) for item in asked} == {
        (source["type"], source["uid"])
    }


def test_what_containers_are_told_is_where_compose_puts_it() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    inside = {volume.split(":")[1] for name in ("prometheus", "grafana") for volume in services[name]["volumes"]}
    config = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    assert set(config["rule_files"]) <= inside
    [job] = config["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    assert target == f"server:{services['server']['environment']['METRICS_ADDRESS'].rpartition(':')[2]}"
    [provider] = yaml.safe_load((PLACE / "grafana" / "dashboards.yml").read_text())["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in inside
    assert home.startswith(provider["options"]["path"])


def test_every_alarm_is_explained_and_asks_for_reasons_that_exist() -> None:
    assert set(re.findall(r"^\| `(CommonTrace\w+)` \|", PAGE, flags=re.MULTILINE)) == ALARMS.keys()
    reasons = {name.removeprefix("ERROR_REASON_") for name in dict(ErrorReason.items())}
    for rule in ALARMS.values():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        for alternatives in re.findall(r'reason=~"([^"]+)"', rule["expr"]):
            assert set(alternatives.split("|")) <= reasons
