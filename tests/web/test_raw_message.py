"""Test POST /raw: accepted and refused messages."""

import csv
import io
import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import MESSAGES, Message
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.web.rest.raw_message import _REFUSED
from tests.support import Answer, GatewayTestCase, WebSocketCaller, slow
from tests.test_logs import DEBUG
from tests.web.test_access import READ, TRADE, TokenCase, bearer
from tests.web.test_output import unchunked
from tests.web.test_rest import _without_id

REFUSED = {1, 2, 3, 5, 6, 7, 101, 102, 150, *range(201, 300), 309, 607, 800, 900}


class RawCase(GatewayTestCase):
    options = ("--host", "127.0.0.1", "--allow-raw")

    def raw(self, query: str = "", **fields: Any) -> Answer:
        return self.fetch(f"/raw{query}", "POST", body=json.dumps(fields).encode())

    def refusal(self, **fields: Any) -> str:
        """Return the error of a body, and assert that nothing was sent."""
        before = len(self.simulator.received)
        answer = self.raw(**fields)
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"), answer.body)
        self.assertEqual(len(self.simulator.received), before)
        return str(answer.json["error"]["message"])

    def unknown(self) -> list[bytes]:
        """Return the list of unknown messages that the simulator receives from now on."""
        received: list[bytes] = []
        for connection in self.simulator.connections:
            connection._codec._on_unknown = lambda number, text: received.append(text)
        return received


class RefusedTests(RawCase):
    @slow
    def test_types(self) -> None:
        for number in range(1, 1000):
            if number in REFUSED:
                self.assertTrue(self.refusal(Type=number).startswith(f"Type: {number} is refused: "))
        self.assertEqual({*_REFUSED} - {200}, REFUSED)

    def test_whatever_trades_is_refused(self) -> None:
        """By the names that the protocol gives to such messages."""
        words = ("Submit", "Cancel", "Flatten", "CorrectingOrderFill", "Adjustment", "Logon", "Encoding")
        for kind in MESSAGES.values():
            is_clients = "client to server" in (kind.__doc__ or "")
            if is_clients and any(word in kind.__name__ for word in words):
                self.assertIn(kind.Type, REFUSED, kind.__name__)
            if is_clients and "SymbolID" in kind.__struct_fields__:  # they are the session's
                self.assertIn(kind.Type, REFUSED, kind.__name__)
        self.assertEqual({kind.Type for kind in RESPONSES} & REFUSED, {800, 900})

    def test_no_type(self) -> None:
        for fields in ({}, {"Type": None}, {"Type": "400"}, {"Type": 400.0}, {"Type": True}, {"Type": 0}):
            text = self.refusal(**fields)
            self.assertEqual(text, "Type: expected a whole number from 1 to 65535, or the name of a message type.")
        self.assertIn("1 to 65535", self.refusal(Type=65536))

    def test_fields(self) -> None:
        for fields, words in (
            ({"Type": 506, "Symbol": 5}, "Symbol: 5 was given; expected a text in UTF-8 of 1 to 63 characters."),
            ({"Type": 506, "symbol": "X"}, "symbol: not a field of SecurityDefinitionForSymbolRequest; expected "),
            ({"Type": 506, "F": ["X"]}, "F: not a field of SecurityDefinitionForSymbolRequest; expected "),
            ({"Type": 508, "SearchText": "E", "SearchType": 77}, "SearchType: 77 was given; expected one of "),
            ({"Type": 703, "JournalEntry": "x", "DateTime": "soon"}, 'DateTime: "soon" was given; expected '),
            ({"Type": 400, "RequestID": 7}, "RequestID: the gateway chooses it."),
        ):
            self.assertIn(words, self.refusal(**fields))

    def test_bodies(self) -> None:
        for body, headers, status in (
            (b"[]", "", 400),
            (b'{"Type": 400, "Type": 601}', "", 400),
            (b"{}", "Content-Type: text/plain\r\n", 415),
            (b"a=1", "Content-Type: application/x-www-form-urlencoded\r\n", 415),
            (b" " * 70_000, "", 413),
        ):
            self.assertEqual(self.fetch("/raw", "POST", headers, body).status, status)
        answer = self.raw("?Symbol=X", Type=400)
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"))

    def test_method(self) -> None:
        answer = self.fetch("/raw")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))


class AnsweredTests(RawCase):
    @slow
    def test_like_the_get(self) -> None:
        """Requests that the gateway knows are answered with their rows, in the same shapes."""
        for kind, path, fields in (
            (dtc.TradeAccountsRequest, "/tradeaccounts", {}),
            (dtc.SecurityDefinitionForSymbolRequest, "/securitydefinition", {"Symbol": "ESM20_FUT_CME"}),
            (dtc.CurrentPositionsRequest, "/currentpositions", {"TradeAccount": "Sim1"}),
            (dtc.SymbolSearchRequest, "/symbolsearch", {"SearchText": "EUR", "SearchType": "BY_SYMBOL"}),
        ):
            query = "&".join(f"{name}={value}" for name, value in fields.items())
            for shape in ("format=json", "format=csv", "prices=display&times=iso"):
                raw, get = self.raw(f"?{shape}", Type=kind.Type, **fields), self.fetch(f"{path}?{query}&{shape}")
                self.assertEqual(raw.status, 200)
                self.assertEqual(_counted(raw), _counted(get))

    @slow
    def test_every_request(self) -> None:
        required: dict[int, dict[str, Any]] = {
            303: {"TradeAccount": "Sim1", "NumberOfDays": 3},
            502: {"Exchange": "CME"},
            503: {"Exchange": "CME"},
            504: {"UnderlyingSymbol": "ES"},
            506: {"Symbol": "EURUSD"},
            508: {"SearchText": "EUR"},
            603: {"TradeAccount": "Sim1"},
            10100: {"TradeAccount": "Sim1"},
        }
        for kind in RESPONSES:
            if kind.Type not in REFUSED:
                answer = self.raw(Type=kind.Type, **required.get(kind.Type, {}))
                self.assertEqual(answer.status, 200, (kind, answer.body))
                self.assertTrue(self.sent(kind), kind)

    def test_as_it_is(self) -> None:
        """A GET completes its request; here all is the caller's."""
        self.raw(Type=300, ServerOrderID="7")
        self.raw(Type=300, ServerOrderID="7", RequestAllOrders=0, TradeAccount=None)
        self.assertEqual([each.RequestAllOrders for each in self.sent(dtc.OpenOrdersRequest)], [1, 0])

    def test_errors(self) -> None:
        self.simulator.reject_next(dtc.AccountBalanceRequest, "No.")
        self.assertEqual(self.raw(Type=601).status, 422)
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.raw(Type=601).status, 503)


class SentTests(RawCase):
    def test_known(self) -> None:
        answer = self.raw(Type=703, JournalEntry="Bought the dip.", DateTime="2026-01-31")
        sent = {"Type": 703, "JournalEntry": "Bought the dip.", "DateTime": 1769817600}
        self.assertEqual((answer.status, answer.json), (202, {"success": True, "sent": sent}))
        (message,) = self.sent(dtc.JournalEntryAdd)
        self.assertEqual(message, dtc.JournalEntryAdd("Bought the dip.", 1769817600))

    def test_by_name(self) -> None:
        answer = self.raw(Type="JOURNAL_ENTRY_ADD", JournalEntry="Sold.", DateTime="2026-01-31")
        self.assertEqual((answer.status, answer.json["sent"]["Type"]), (202, 703))
        self.assertEqual(len(self.sent(dtc.JournalEntryAdd)), 1)
        answer = self.raw(Type="SUBMIT_NEW_SINGLE_ORDER", Symbol="X")
        self.assertIn("Type: 208 is refused", answer.json["error"]["message"])

    def test_unknown(self) -> None:
        received = self.unknown()
        fields: dict[str, Any] = {
            "RequestID": 7,
            "Type": 12345,
            "Text": "Ü",
            "F": [1, 2.5, None],
            "Deep": {"a": [{}]},
            "Big": 2**53 + 1,
        }
        answer = self.raw(**fields)
        self.assertEqual((answer.status, answer.json), (202, {"success": True, "sent": {"Type": 12345}}))
        (text,) = received
        self.assertTrue(text.startswith(b'{"Type":12345,"RequestID":7,'), text)
        self.assertEqual(json.loads(text), fields)
        self.assertIn("local sent a message of type 12345.", self.log_text())

    def test_answered_on_the_stream(self) -> None:
        """What an unknown type is answered with comes on the channel `unknown`."""
        subscriber = self.call(_stream())
        self.send_json(subscriber, {"action": "subscribe", "channel": "unknown"})
        self.raw(Type=12345, RequestID=9)
        self.simulator.send_raw(b'{"Type":12346,"RequestID":9}\0')
        self.flush()
        self.assertEqual(subscriber.take()[-1]["message"], {"Type": 12346, "RequestID": 9})

    def test_no_session(self) -> None:
        self.simulator.drop()
        self.flush()
        for number in (703, 12345):
            answer = self.raw(Type=number)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (503, "NotLoggedOn"))

    def test_logged(self) -> None:
        wire_log.configure(DEBUG)
        self.addCleanup(wire_log.configure, {})
        self.unknown()
        self.raw(Type=12345, A=1, Username="me", Password="open sesame")
        text = self.log_text()
        self.assertIn('Sending Type 12345:\n{\n    "A": 1,\n    "Password": "********",\n', text)
        self.assertFalse("open sesame" in text)

    @slow
    def test_nested_arrays_are_not_indented(self) -> None:
        """Indented, they are a thousand times longer."""
        wire_log.configure(DEBUG)
        self.addCleanup(wire_log.configure, {})
        self.unknown()
        body = '{"Type": 12345, "A": ' + ",".join(["[" * 400 + "]" * 400]) + "}"
        self.log.clear()
        answer = self.fetch("/raw", "POST", body=body.encode())
        self.assertEqual((answer.status, len(answer.body)), (202, 67))
        body = body.replace("[]", "[" + ",".join(["[]"] * 20_000) + "]")
        self.assertEqual(self.fetch("/raw", "POST", body=body.encode()).status, 202)
        self.assertLess(len(self.log_text()), 700_000)


class OffTests(GatewayTestCase):
    def test_off_by_default(self) -> None:
        for body in (b'{"Type": 400}', b'{"Type": 12345}', b"nonsense"):
            answer = self.fetch("/raw", "POST", body=body)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (403, "Forbidden"))
            self.assertIn("--allow-raw", answer.json["error"]["message"])
        self.assertEqual(self.sent(dtc.TradeAccountsRequest), [])


class ScopeTests(TokenCase):
    arguments = ("--allow-raw",)

    def test_needs_trade(self) -> None:
        for token, status in ((READ, 403), (TRADE, 200)):
            self.assertEqual(self.fetch("/raw", "POST", bearer(token), b'{"Type": 400}').status, status)
        self.assertEqual(len(self.sent(dtc.TradeAccountsRequest)), 1)
        self.fetch("/raw", "POST", bearer(TRADE), b'{"Type": 703}')
        self.assertIn("me@desk sent a message of type 703.", self.log_text())
        self.assertEqual([type(each) for each in self.sent(Message)][-1], dtc.JournalEntryAdd)


def _stream() -> WebSocketCaller:
    return WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream")


def _counted(answer: Answer) -> Any:
    """Return the rows without RequestID, which differs each time."""
    whole = unchunked(answer)
    if whole.headers["content-type"].startswith("text/csv"):
        return [_without_id(row) for row in csv.DictReader(io.StringIO(whole.body.decode(), newline=""))]
    return [_without_id(row) for row in whole.json]
