"""Historical prices from files over REST."""

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address

from tests.datafiles.writer import append, scid_header, trade, write_scid
from tests.support import Answer, Caller, GatewayTestCase, slow
from tests.web.test_output import unchunked

START = 1_700_000_000
ES = "ESM20_FUT_CME"
NQ = "NQM20_FUT_CME"


class DataFolderCase(GatewayTestCase):
    """A gateway with a data folder."""

    more: tuple[str, ...] = ("--host", "127.0.0.1")

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.options = (*self.more, "--data-folder", str(self.folder))
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)

    def answer(self, path: str, headers: str = "") -> Any:
        """Fetch a long answer, which needs several iterations of the reactor."""
        caller = self.begin(path, headers=headers)
        for _ in range(2000):
            if caller.lost:
                break
            self.advance(0.01, 0.01)
        return unchunked(Answer(caller.received))


class HistoryFromFileTests(DataFolderCase):
    def write(self, symbol: str = NQ, count: int = 3) -> Path:
        records = [trade(START * 10**6 + i * 10**6, 100 + i, i + 1) for i in range(count)]
        return write_scid(self.folder / f"{symbol}.scid", records)

    def test_rows_of_a_symbol_that_the_server_refuses(self) -> None:
        self.write()
        answer = self.answer(f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["data-source"], "file")
        self.assertEqual(
            answer.json[2],
            {
                "Type": 803,
                "RequestID": 1,
                "StartDateTime": (START + 2) * 10**6,
                "OpenPrice": 0,
                "HighPrice": 103,
                "LowPrice": 102,
                "LastPrice": 102,
                "Volume": 3,
                "NumTrades": 1,
                "OpenInterest": 1,
                "BidVolume": 3,
                "AskVolume": 0,
                "IsFinalRecord": 1,
            },
        )
        self.assertEqual([row["IsFinalRecord"] for row in answer.json], [0, 0, 1])

    def test_fields_are_those_of_rows_from_the_server(self) -> None:
        self.write(ES)
        path = f"/historicalpricedata?Symbol={ES}&RecordInterval=tick&StartDateTime={START - 5}&EndDateTime={START + 2}"
        ours, server = self.answer(f"{path}&source=file"), self.answer(f"{path}&source=dtc")
        self.assertEqual(server.headers["data-source"], "dtc")
        self.assertEqual(sorted(ours.json[0]), sorted(server.json[0]))

    @slow
    def test_automatic_source(self) -> None:
        path = f"/historicalpricedata?Symbol={ES}&RecordInterval=1m&MaxDaysToReturn=1"
        self.assertEqual(self.answer(path).headers["data-source"], "dtc")
        self.write(ES)
        self.assertEqual(self.answer(path).headers["data-source"], "file")
        self.assertEqual(self.answer(f"{path}&source=dtc").headers["data-source"], "dtc")

    @slow
    def test_many_rows(self) -> None:
        self.write(count=5000)
        rows = self.answer(f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick").json
        self.assertEqual([row["StartDateTime"] for row in rows], [(START + i) * 10**6 for i in range(5000)])
        self.assertEqual([i for i, row in enumerate(rows) if row["IsFinalRecord"]], [4999])

    def test_no_rows(self) -> None:
        self.write(count=0)
        self.assertEqual(self.answer(f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick").json, [])

    def test_output_options(self) -> None:
        self.write(ES)
        path = f"/historicalpricedata?Symbol={ES}&RecordInterval=tick&prices=display&times=iso&format=csv"
        lines = self.answer(path).body.decode().split("\r\n")
        self.assertEqual(lines[1], "803,1,2023-11-14T22:13:20Z,0.0,1.01,1.0,1.0,1,1,1,1,0,0")

    def test_errors(self) -> None:
        def problem(query: str) -> tuple[int, str]:
            answer = self.answer(f"/historicalpricedata?RecordInterval=tick&{query}")
            return answer.status, answer.json["error"]["type"]

        self.assertEqual(problem("Symbol=X&source=file"), (404, "NoDataFile"))
        self.assertEqual(problem("Symbol=..%2FX&source=file"), (404, "NoDataFile"))
        write_scid(self.folder / "OLD.scid", [], scid_header(record=44))
        self.assertEqual(problem("Symbol=OLD"), (502, "UnusableDataFile"))
        self.assertEqual(problem("Symbol=X&source=other"), (400, "BadParameter"))
        self.assertEqual(problem("Symbol=X&session=9-16"), (400, "BadParameter"))
        self.assertEqual(problem("Symbol=X&session=09:30-16:00&timezone=Nowhere"), (400, "BadParameter"))
        self.assertEqual(problem("Symbol=X&timezone=UTC"), (400, "BadParameter"))

    @slow
    def test_damage_in_the_middle_cuts_the_answer_off(self) -> None:
        path = self.write(count=40_000)
        append(path, trade((START + 10) * 10**6, 1))
        answer = self.answer(f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick&format=ndjson")
        *rows, last = answer.body.splitlines()
        self.assertIn(b"UnusableDataFile", last)
        self.assertGreaterEqual(len(rows), 16_384)

    def test_list(self) -> None:
        self.write()
        write_scid(self.folder / "OLD.scid", [], scid_header(record=44))
        found = self.answer("/datafiles").json
        self.assertEqual(
            found[0],
            {
                "symbol": NQ,
                "kind": "scid",
                "files": 1,
                "first": "2023-11-14T22:13:20Z",
                "last": "2023-11-14T22:13:22Z",
                "records": 3,
                "bytes": 56 + 3 * 40,
                "error": None,
            },
        )
        self.assertIn("records have 44 bytes", found[1]["error"])

    # -- who may have the data

    def from_address(self, address: str, path: str, headers: str = "") -> Any:
        """Fetch from another machine."""
        server = self.site().buildProtocol(IPv4Address("TCP", address, 40000))
        caller = Caller()
        from twisted.test.iosim import FakeTransport, connect

        ours = FakeTransport(server, isServer=True, hostAddress=IPv4Address("TCP", "192.0.2.1", 8080))
        ours.peerAddress = IPv4Address("TCP", address, 40000)
        pump = connect(server, ours, caller, FakeTransport(caller, isServer=False), clock=self.clock)
        self._pumps.append(pump)
        request = f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        caller.transport.write(request.encode())
        for _ in range(20):
            self.advance(0.01, 0.01)
        return unchunked(Answer(caller.received))

    def test_another_machine(self) -> None:
        self.write()
        path = f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick&source=file"
        self.assertEqual(self.from_address("192.0.2.7", path).status, 403)
        self.assertEqual(self.from_address("192.0.2.7", "/datafiles").status, 403)
        self.assertEqual(self.from_address("127.0.0.1", path).status, 200)
        self.assertEqual(self.from_address("192.0.2.1", path).status, 200)
        self.assertEqual(self.from_address("127.0.0.1", path, "X-Forwarded-For: 192.0.2.7\r\n").status, 403)


class RemoteTests(HistoryFromFileTests):
    more = ("--host", "127.0.0.1", "--data-folder-remote")

    def test_another_machine(self) -> None:
        self.write()
        path = f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick&source=file"
        self.assertEqual(self.from_address("192.0.2.7", path).status, 200)


class FilesAloneTests(DataFolderCase):
    more = ()

    def test_history(self) -> None:
        write_scid(self.folder / "A.scid", [trade(START * 10**6, 1)])
        self.assertEqual(len(self.answer("/historicalpricedata?Symbol=A&RecordInterval=tick").json), 1)
        self.assertEqual(self.answer("/historicalpricedata?Symbol=B&RecordInterval=tick").status, 503)
        self.assertEqual(self.answer("/readyz", "").status, 404)
        self.assertEqual(self.status()["state"], "stopped")
        self.assertEqual(self.simulator.connections, [])


class NoFolderTests(GatewayTestCase):
    def test_source(self) -> None:
        answer = self.fetch(f"/historicalpricedata?Symbol={ES}&RecordInterval=tick&source=file")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"))
        self.assertEqual(self.fetch("/datafiles").status, 400)
