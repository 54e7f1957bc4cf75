"""Test that an edge gets a snapshot of a channel when there is one."""

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.account_relay import AccountRelay
from dtc_twisted.cluster.wire import AccountRequest, decode_account_message, encode


class Bus:
    """Keep what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.receive: Callable[[str, bytes, str], None] = lambda subject, data, reply: None

    def subscribe(self, subject: str, receive: Callable[[str, bytes, str], None]) -> None:
        self.receive = receive

    def publish(self, subject: str, data: bytes) -> None:
        self.published.append((subject, data))


class Source:
    """Keep the subscribers of a channel."""

    def __init__(self) -> None:
        self.subscribers: list[Any] = []

    def subscribe(self, subscriber: Any, channel: str) -> None:
        self.subscribers.append(subscriber)

    join = subscribe

    def send_event(self, *_: object) -> None:
        raise NotImplementedError

    def unsubscribe(self, subscriber: Any, channel: str) -> None:
        self.subscribers.remove(subscriber)

    def publish(self, payload: bytes) -> None:
        for subscriber in [*self.subscribers]:
            subscriber.publish("orders", payload)


class Recent:
    """Keep nothing."""

    position: ClassVar = {"epoch": 7, "seq": 3}

    def opened(self) -> None:
        """Keep nothing."""

    def find(self, epoch: int, from_seq: int) -> None:
        return None

    def knows(self, epoch: int, from_seq: int) -> bool:
        return False


class SnapshotTests(SynchronousTestCase):
    def test_the_snapshot_comes_later(self) -> None:
        bus, source = Bus(), Source()
        AccountRelay(bus, "dtc.", lambda: 5, source, {"orders": Recent()})  # type: ignore
        bus.receive("dtc.accounts", encode(AccountRequest("orders", 0, 0)), "reply")
        self.assertEqual(bus.published, [])
        snapshot = b'{"channel":"orders","event":"snapshot","epoch":7,"seq":3,"orders":[]}'
        source.publish(snapshot)
        answers = [data[1:] for subject, data in bus.published if subject == "reply"]
        self.assertEqual([decode_account_message(each)[1] for each in answers], [[snapshot]])
        self.assertEqual(decode_account_message(answers[0])[0].kind, "snapshot")
        source.publish(b'{"channel":"orders","seq":4}')
        self.assertEqual([subject for subject, _ in bus.published].count("reply"), 1)
        self.assertEqual(len(source.subscribers), 1)
