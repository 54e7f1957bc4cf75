"""Messages with bytes that were changed on the way are skipped, or read in part; nothing is raised."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.codec import Codec
from tests.support import slow

HEARTBEAT = b'{"Type":3,"NumDroppedMessages":0,"CurrentDateTime":5}'
MESSAGES = (
    b'{"Type":301,"ServerOrderID":"7","ClientOrderID":"a","OrderStatus":4,"Price1":2825.25,"TradeAccount":"Sim1"}',
    b'{"Type":304,"RequestID":2,"Symbol":"ESM20","Price":2825.25,"DateTime":1700000000,"TradeAccount":"Sim1"}',
    b'{"Type":306,"Symbol":"ESM20","Quantity":-2,"AveragePrice":2825.25,"TradeAccount":"Sim1"}',
    b'{"Type":600,"CashBalance":1e5,"TradeAccount":"Sim1","AccountCurrency":"USD"}',
    b'{"Type":107,"F":[1,2,2825.25,3,1700000000.25]}',
    b'{"Type":122,"SymbolID":1,"Side":1,"Price":2825.25,"Quantity":3,"Level":1}',
)


def mutated(choice: random.Random) -> bytes:
    """Return a message that is changed at random in some places."""
    data = bytearray(choice.choice(MESSAGES))
    for _ in range(choice.randint(1, 4)):
        at = choice.randrange(len(data))
        match choice.randrange(4):
            case 0:
                data[at] = choice.randrange(256)
            case 1:
                del data[at : at + choice.randint(1, 5)]
            case 2:
                data[at:at] = bytes(choice.randrange(256) for _ in range(choice.randint(1, 5)))
            case _:
                data[at:at] = choice.choice((b"9" * 400, b"-", b"1e999", b"null", b'"', b"[{", b"\xff\xfe"))
        data += b" "  # so that it is never empty
    return bytes(data)


class MutationTests(SynchronousTestCase):
    @slow
    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2**32), st.booleans())
    def test_nothing_is_raised(self, seed: int, nul: bool) -> None:
        choice = random.Random(seed)
        codec = Codec()
        for _ in range(20):
            codec.feed(mutated(choice) + (b"\0" if nul else b""))
        codec.feed(b"\0")
        self.assertEqual(len(codec.feed(HEARTBEAT + b"\0")), 1)

    def test_row_with_a_text_that_is_not_utf8(self) -> None:
        """The field is left out, and the others are kept."""
        codec = Codec()
        (message,) = codec.feed(b'{"Type":306,"Symbol":"ES\x97M20","Quantity":-2,"TradeAccount":"Sim1",}\0')
        self.assertEqual((message.Quantity, message.TradeAccount), (-2, "Sim1"))  # type: ignore[attr-defined]
        self.assertEqual(codec.malformed_count, 1)
