"""Make malformed messages: bytes of real messages changed at random, and JSON that hypothesis makes up."""

import random
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message

ENDS_SUBSCRIPTIONS = (
    dtc.LogonResponse,
    dtc.Logoff,
    dtc.MarketDataFeedStatus,
    dtc.MarketDataFeedSymbolStatus,
    dtc.MarketDataReject,
    dtc.MarketDepthReject,
)
"""Types that end the session or a subscription, as they should, even if only a copy of one is sent."""

_HARMFUL = re.compile(
    rb'"Type"\s*:\s*0*(?:' + b"|".join(str(each.Type).encode() for each in ENDS_SUBSCRIPTIONS) + rb")\b"
)
_VALUES = {int: 2, float: 282775.25, str: "S1"}
_EXAMPLES = 80
_PER_EXAMPLE = 20


def all_messages() -> list[bytes]:
    """Encode one message of each type, with a value in every field."""
    codec = Codec()
    encoded = []
    for kind in _kinds():
        fields: dict[str, Any] = {}
        for name, field in zip(kind.__struct_fields__, msgspec.structs.fields(kind), strict=True):
            values = [value for each, value in _VALUES.items() if each.__name__ in str(field.type)]
            if values:
                fields[name] = values[0]
        try:
            encoded.append(codec.encode(kind(**fields)).rstrip(b"\0"))
        except (TypeError, ValueError):
            encoded.append(codec.encode(kind()).rstrip(b"\0"))
    return encoded


def mutate(choice: random.Random, messages: list[bytes]) -> bytes:
    """Change a message at random, in one to four places."""
    data = bytearray(choice.choice(messages))
    for _ in range(choice.randint(1, 4)):
        at = choice.randrange(len(data) + 1)
        match choice.randrange(6):
            case 0:
                data[at : at + 1] = bytes((choice.randrange(256),))
            case 1:
                del data[at : at + choice.randint(1, 8)]
            case 2:
                data[at:at] = bytes(choice.randrange(256) for _ in range(choice.randint(1, 8)))
            case 3:
                data[at:at] = data[choice.randrange(len(data) + 1) :][: choice.randint(1, 40)]
            case 4:
                data[at:at] = choice.choice((b"9" * 400, b"-", b"1e999", b"null", b'"', b"[{", b"\xff\xfe", b"\0"))
            case _:
                del data[at:]
        if not data:
            data += b"{"
    return bytes(data)


def made_up() -> list[bytes]:
    """Let hypothesis make up messages: types and names of the protocol, with any values."""
    names = sorted({name for kind in _kinds() for name in kind.__struct_fields__})
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    fields = st.dictionaries(st.sampled_from(names), values, max_size=8)
    kinds = st.sampled_from([kind.Type for kind in _kinds()])
    message = st.tuples(kinds, fields)
    found: list[bytes] = []

    @settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(message, min_size=_PER_EXAMPLE, max_size=_PER_EXAMPLE))
    def collect(examples: list[tuple[int, dict[str, Any]]]) -> None:
        for kind, values_by_name in examples:
            body = msgspec.json.encode(values_by_name)
            found.append(b'{"Type":%d%s' % (kind, b"," + body[1:] if len(body) > 2 else b"}"))

    collect()
    return found


def malformed(seed: int, recorded: list[bytes], invented: list[bytes]) -> Iterator[bytes]:
    """Yield malformed messages without end: nine of ten mutated, the others invented."""
    choice = random.Random(seed)
    while True:
        data = choice.choice(invented) if choice.random() < 0.1 else mutate(choice, recorded)
        if not _HARMFUL.search(data):
            yield data


def _kinds() -> list[type[Message]]:
    kinds = {each for each in vars(dtc).values() if isinstance(each, type) and issubclass(each, Message)}
    known = [each for each in kinds if hasattr(each, "Type") and each is not Message and each not in ENDS_SUBSCRIPTIONS]
    return sorted(known, key=lambda kind: (int(kind.Type), kind.__name__))
