"""The whole plugin in memory, from the simulator to REST and subscribers."""

from dtc_twisted import messages as dtc
from dtc_twisted.messages import RequestActionEnum
from tests.support import House

ES = "ESM20_FUT_CME"
CL = "CLM20_FUT_NYMEX"


class FirstTests(House):
    def test_rest(self) -> None:
        answer = self.fetch(f"/securitydefinition?Symbol={ES}")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json[0]["Symbol"], ES)

    def test_stream(self) -> None:
        subscriber = self.subscriber(ES)
        answer, snapshot = subscriber.take()
        self.assertEqual(answer, {"action": "subscribe", "symbol": ES, "success": True})
        self.assertEqual((snapshot["Type"], snapshot["Symbol"]), (104, ES))
        self.simulator.trade(ES, 282800, 3, 1)
        self.flush()
        print(subscriber.take())
        print(self.status())
