"""Test /healthz, /readyz and /metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest

from dtc_twisted.web.rest import monitoring_routes
from tests.support import Answer, Caller, GatewayTestCase, slow, write_private
from tests.test_public_names import names, table

ES = "ESM20_FUT_CME"
ROOT = Path(__file__).parents[2]
OF_THE_LIBRARY = ("process_", "python_")


class MonitoringCase(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.options = (*self.options, "--journal", self.mktemp())
        super().setUp()
        self.flush()

    def get(self, path: str, headers: str = "") -> Answer:
        """Return the answer to a whole path, over a connection of its own."""
        caller = self.call(Caller())
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        caller.transport.write(request.encode())
        self.flush()
        self.assertTrue(caller.lost, f"{path} was not answered")
        return Answer(caller.received)

    def drop_server(self) -> None:
        """Drop the connection to the server."""
        for connection in list(self.simulator.connections):
            connection.dropConnection(abort=True)
        self.flush()

    def metrics(self) -> str:
        answer = self.get("/metrics")
        self.assertEqual(answer.status, 200)
        return answer.body.decode()

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Return the values by name and label values."""
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
        }

    def value(self, name: str, *labels: str) -> float:
        return self.samples()[name, labels]


class HealthTests(MonitoringCase):
    def test_healthy(self) -> None:
        answer = self.get("/healthz")
        self.assertEqual((answer.status, answer.json), (200, {"healthy": True}))

    def test_ready(self) -> None:
        answer = self.get("/readyz")
        self.assertEqual((answer.status, answer.json), (200, {"ready": True, "problems": {}}))

    def test_not_ready_without_server(self) -> None:
        self.drop_server()
        answer = self.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertEqual([*answer.json["problems"]], ["server"])
        self.assertEqual(self.get("/healthz").status, 200)

    def test_not_ready_without_market_data(self) -> None:
        self.subscriber(ES)
        self.assertEqual(self.get("/readyz").status, 200)
        self.drop_server()
        self.assertIn("market_data", self.get("/readyz").json["problems"])

    def test_unknown_parameter(self) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(self.get(f"{path}?a=1").status, 400, path)


class TokenTests(MonitoringCase):
    def setUp(self) -> None:
        tokens = self.mktemp()
        write_private(tokens, "reader read 0123456789abcdef\n")
        self.options = (*self.options, "--token-file", tokens)
        super().setUp()

    def test_health_needs_no_token(self) -> None:
        self.assertEqual(self.get("/healthz").status, 200)
        self.assertEqual(self.get("/readyz").status, 200)

    def test_metrics_need_one(self) -> None:
        self.assertEqual(self.get("/metrics").status, 401)
        answer = self.get("/metrics", headers="Authorization: Bearer 0123456789abcdef\r\n")
        self.assertEqual(answer.status, 200)


class MetricsTests(MonitoringCase):
    def test_content_type(self) -> None:
        answer = self.get("/metrics")
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")

    def test_shared_by_many_callers(self) -> None:
        """They are read at most for a small part of the time."""
        reads: list[float] = []

        def read_slowly(registry: Any) -> bytes:
            reads.append(self.clock.seconds())
            self.clock.rightNow += 0.015
            return b"# %d" % len(reads)

        self.patch(monitoring_routes, "generate_latest", read_slowly)
        self.assertEqual([self.metrics() for _ in range(20)], ["# 1"] * 20)
        self.advance(0.015 * monitoring_routes.REUSE + 0.001)
        self.assertEqual(self.metrics(), "# 2")

    def test_upstream(self) -> None:
        self.assertEqual(self.value("dtc_upstream_up"), 1)
        self.assertEqual(self.value("dtc_upstream_state", "ready"), 1)
        self.assertEqual(self.value("dtc_upstream_messages_received_total", "LogonResponse"), 1)
        self.drop_server()
        self.assertEqual(self.value("dtc_upstream_up"), 0)
        self.advance(5)
        self.assertEqual(self.value("dtc_upstream_reconnects_total"), 1)

    @slow
    def test_deliveries(self) -> None:
        before = self.value("dtc_deliveries_total", "marketdata")
        callers = [self.subscriber(ES) for _ in range(3)]
        for caller in callers:
            caller.take()
        start = self.value("dtc_deliveries_total", "marketdata")
        for volume in range(1, 5):
            self.simulator.trade(ES, 282700, volume, 1)
            self.flush()
        arrived = sum(len(caller.take()) for caller in callers)
        self.assertGreater(arrived, 3)
        self.assertEqual(self.value("dtc_deliveries_total", "marketdata") - start, arrived)
        self.assertEqual(self.value("dtc_subscribers", "/marketdata"), 3)
        self.assertEqual(self.value("dtc_subscribed_symbols", "marketdata"), 1)
        self.assertLess(self.value("dtc_market_data_age_seconds", "marketdata", "CME"), 2)
        for caller in callers:
            caller.leave()
        self.flush()
        self.assertEqual(self.value("dtc_deliveries_total", "marketdata") - start, arrived)
        self.assertEqual(before, 0)

    def test_requests(self) -> None:
        self.get("/api/v1/status")
        self.get("/api/v1/orders/none")
        self.get("/api/v1/nothing/here")
        name = "dtc_http_request_duration_seconds_count"
        self.assertEqual(self.value(name, "GET", "/api/v1/status", "200"), 1)
        self.assertEqual(self.value(name, "GET", "/api/v1/orders/<order_id>", "404"), 1)
        self.assertEqual(self.value(name, "", "", "404"), 1)

    def test_refused(self) -> None:
        self.assertEqual(self.value("dtc_refused_total", "header_size"), 0)
        self.get("/healthz", headers=f"X: {'a' * 20_000}\r\n")
        self.assertEqual(self.value("dtc_refused_total", "header_size"), 1)

    def test_commands(self) -> None:
        body = {"Symbol": ES, "TradeAccount": "Sim1", "BuySell": "BUY", "OrderType": "MARKET", "Quantity": 1}
        self.fetch("/orders", "POST", body=json.dumps(body).encode())
        self.fetch("/orders/none", "DELETE")
        self.assertEqual(self.value("dtc_order_commands_total", "submit", "ok"), 1)
        self.assertEqual(self.value("dtc_order_commands_total", "cancel", "NoSuchOrder"), 1)
        self.assertGreaterEqual(self.value("dtc_journal_commit_duration_seconds_count"), 1)
        self.assertEqual(self.value("dtc_in_doubt_orders"), 0)

    def test_lag(self) -> None:
        before = self.value("dtc_event_loop_lag_seconds_sum")
        self.clock.advance(3.5)  # one long step: the timer is late
        self.assertGreater(self.value("dtc_event_loop_lag_seconds_sum"), before + 2)


class NameTests(MonitoringCase):
    def names(self) -> set[str]:
        """Return the names of the gateway's metrics, as documented."""
        families = text_string_to_metric_families(self.metrics())
        found = {each.name + ("_total" if each.type == "counter" else "") for each in families if each.documentation}
        return {name for name in found if not name.startswith(OF_THE_LIBRARY) and not name.endswith("_created")}

    def test_documented(self) -> None:
        self.subscriber(ES)
        self.advance(1)
        documented = {name for row in table("docs/metrics.md", "metric") for name in names(row[0])}
        self.assertEqual(self.names(), documented)

    def test_dashboard_uses_existing_names(self) -> None:
        self.subscriber(ES)
        self.advance(1)
        self.get("/api/v1/status")
        existing = {name for name, _ in self.samples()}
        dashboard = (ROOT / "examples" / "grafana.json").read_text("utf-8")
        expressions = [
            target["expr"] for panel in json.loads(dashboard)["panels"] for target in panel.get("targets", ())
        ]
        self.assertGreater(len(expressions), 10)
        used = {name for each in expressions for name in re.findall(r"\b(?:dtc|process)_[a-z_]+", each)}
        missing = {name for name in used if name not in existing and not name.startswith("process_")}
        self.assertEqual(missing, {"dtc_order_commands_total"} & used)  # it has no sample before the first command

    @slow
    def test_promtool(self) -> None:
        """Let Prometheus' own tool judge names, units and help texts."""
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool (Debian package prometheus) is not installed")
        self.subscriber(ES)
        self.advance(1)
        result = subprocess.run(
            [promtool, "check", "metrics"], input=self.metrics(), capture_output=True, text=True, check=False
        )
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))
