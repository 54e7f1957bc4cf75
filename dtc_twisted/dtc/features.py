"""Name the bits of LOGON_REQUEST.Integer_1: messages that the client requests."""


class Feature:
    """Bits of LOGON_REQUEST.Integer_1.

    They are plain integers, because tests of an IntFlag are slow.
    """

    NONE = 0
    RELAY_MODE = 0x2
    UNBUNDLED_TRADES = 0x4
    DEPTH_UPDATES_FLOAT_WITH_MILLISECONDS = 0x80
    DEPTH_SNAPSHOTS_FLOAT = 0x800
    TRADES_WITH_UNBUNDLED_INDICATOR_2 = 0x80000
    BID_ASK_FLOAT_WITH_MICROSECONDS = 0x100000
