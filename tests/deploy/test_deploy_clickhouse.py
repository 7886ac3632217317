"""ClickHouse's own configuration: a cluster that the migrations mean, and no logs that cost cores."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import yaml
from deployment_files import BASE, DOCKER, compose, manifests, of_kind, profile, workloads

from kit.metrics import registry
from kit.settings import ClickHouseSettings, KafkaSettings
from streams.warehouse.migrate import migrations

CLUSTER = ElementTree.parse(DOCKER / "clickhouse" / "cluster.xml").getroot()
USERS = ElementTree.parse(DOCKER / "clickhouse" / "users.xml").getroot()
LOGS = ElementTree.parse(DOCKER / "clickhouse" / "logs.xml").getroot()


def test_the_cluster_is_the_one_that_the_profile_names() -> None:
    name = profile("profiles/clickhouse-cluster.env")["RUNMETER_CLICKHOUSE_CLUSTER"]
    assert ClickHouseSettings(cluster=name).cluster == name
    shards = CLUSTER.findall(f"remote_servers/{name}/shard")
    assert len(shards) > 1
    for shard in shards:
        # Otherwise every replica would be sent every row, and the replicas would exchange them, too.
        assert shard.findtext("internal_replication") == "true"
        assert len(shard.findall("replica")) > 1
    assert CLUSTER.find(f"remote_servers/{name}/secret") is not None
    assert len(CLUSTER.findall("zookeeper/node")) % 2 == 1


def test_servers_have_the_macros_that_the_tables_name() -> None:
    named = {
        macro
        for migration in migrations()
        for statement in migration.rendered("market")
        for macro in re.findall(r"\{(\w+)\}", statement)
    }
    assert named - {"database", "table"} == {macro.tag for macro in CLUSTER.findall("macros/*")}


def test_the_server_keeps_few_logs_about_itself() -> None:
    mounted = [volume for volume in compose()["services"]["clickhouse"]["volumes"] if "logs.xml" in volume]
    assert mounted == ["./clickhouse/logs.xml:/etc/clickhouse-server/config.d/logs.xml:ro"]
    kept = [log for log in LOGS if log.get("remove") != "1"]
    assert {"trace_log", "metric_log", "asynchronous_metric_log"} <= {log.tag for log in LOGS} - {
        log.tag for log in kept
    }
    assert all("INTERVAL" in (log.findtext("ttl") or "") for log in kept)


def test_somebody_makes_users_and_grafana_only_reads() -> None:
    service = compose()["services"]["clickhouse"]
    assert "./clickhouse/users.xml:/etc/clickhouse-server/users.d/runmeter.xml:ro" in service["volumes"]
    users = {user.tag: user for user in USERS.findall("users/*")}
    for user in users.values():
        variable = user.find("password").get("from_env")  # type: ignore[union-attr]
        assert service["environment"][variable].startswith(f"${{{variable}:?")
    admin, reader = users["admin"], users["reader"]
    assert admin.findtext("access_management") == "1"
    assert {ip.text for ip in admin.findall("networks/ip")} == {"127.0.0.1", "::1"}
    assert reader.find("access_management") is None
    assert USERS.findtext(f"profiles/{reader.findtext('profile')}/readonly") == "2"
    assert [grant.text for grant in reader.findall("grants/query")] == ["GRANT SELECT ON runmeter.*"]
    datasource = yaml.safe_load((DOCKER / "grafana" / "datasources" / "runmeter.yaml").read_text())
    assert datasource["datasources"][1]["jsonData"]["username"] == "reader"


def test_kafka_in_kubernetes_is_as_its_profile_says() -> None:
    told, wanted = (
        of_kind(manifests(BASE), "ConfigMap")["runmeter-settings"]["data"],
        profile("profiles/kafka-3.env"),
    )
    for name in ("RUNMETER_KAFKA_REPLICATION", "RUNMETER_KAFKA_MIN_INSYNC"):
        assert told[name] == wanted[name]
    settings = KafkaSettings(
        replication=int(told["RUNMETER_KAFKA_REPLICATION"]), min_insync=int(told["RUNMETER_KAFKA_MIN_INSYNC"])
    )
    assert settings.in_sync == KafkaSettings(replication=settings.replication).in_sync == 2


def test_what_workers_are_scaled_by_is_measured() -> None:
    documents = manifests(BASE)
    scalers = of_kind(documents, "ScaledObject", "HorizontalPodAutoscaler")
    assert set(workloads(documents)) - set(scalers) == {"console-api", "console", "relay", "operate"}
    for role in ("metering", "warehouse"):
        query = scalers[role]["spec"]["triggers"][0]["metadata"]["query"]
        assert query == f'sum({registry.LAG.name}{{role="{role}"}})'
    for name, budget in of_kind(documents, "PodDisruptionBudget").items():
        assert budget["spec"]["maxUnavailable"] == 1, name
