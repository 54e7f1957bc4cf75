"""Test new messages of a user's header.

test_own_messages runs these cases in a separate process, after use_messages().
"""

from dtc_twisted.dtc import messages as dtc
from tests.scripted_case import ScriptedCase
from tests.support import WebSocketCaller

MY_REQUEST, MY_RESPONSE = 20001, 20002


class NewMessageCases(ScriptedCase):
    options = ("--host", "127.0.0.1", "--port", "11097", "--allow-trading", "--allow-raw")

    def test_raw(self) -> None:
        """Fields are checked by their names and types."""
        answer = self.post("/raw", Type=MY_REQUEST, RequestID=5, Levels=[1.5, 2])
        self.assertEqual(answer.status, 202, answer.body)
        (sent,) = self.server.requests(MY_REQUEST)
        self.assertEqual(sent, {"Type": MY_REQUEST, "RequestID": 5, "Levels": [1.5, 2]})
        answer = self.post("/raw", Type=MY_REQUEST, Colour=5)
        self.assertEqual(answer.status, 400)
        self.assertIn("Colour: not a field of MyRequest; expected RequestID, Side, Text, Levels", answer.body.decode())
        answer = self.post("/raw", Type=MY_REQUEST, Side="LEFT", Text="x")
        self.assertIn("one of BUY_SELL_UNSET, BUY, SELL", answer.body.decode())
        self.assertEqual(self.post("/raw", Type=MY_REQUEST, Levels=5).status, 400)

    def test_unknown_channel(self) -> None:
        """A compact message is passed on with the names of its fields."""
        caller = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
        self.send_json(caller, {"action": "subscribe", "channel": "unknown"})
        caller.take()
        self.server.send({"Type": MY_RESPONSE, "F": [5, 2.5, "text"]})
        self.flush()
        message = {"Type": MY_RESPONSE, "RequestID": 5, "Price1": 2.5, "Text": "text"}
        self.assertEqual(caller.take(), [{"channel": "unknown", "seq": 1, "message": message}])

    def test_new_field_of_a_known_message(self) -> None:
        self.assertEqual(dtc.TradeAccountResponse(RequestID=1, NewField=2).NewField, 2)  # type: ignore[call-arg,attr-defined]
        self.server.always(400, lambda request, obey: [{**each, "NewField": 7} for each in obey()])
        answer = self.fetch("/tradeaccounts")
        self.assertIn('"NewField":7', answer.body.decode().replace(" ", ""))
