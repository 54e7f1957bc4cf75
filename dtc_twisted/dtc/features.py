"""Name the bits of LOGON_REQUEST.Integer_1: which messages the client asks for."""


class Feature:
    """The bits of LOGON_REQUEST.Integer_1. Plain integers, because an IntFlag is slow to test."""

    NONE = 0
    RELAY_MODE = 0x2
    UNBUNDLED_TRADES = 0x4
    DEPTH_UPDATES_FLOAT_WITH_MILLISECONDS = 0x80
    DEPTH_SNAPSHOTS_FLOAT = 0x800
    TRADES_WITH_UNBUNDLED_INDICATOR_2 = 0x80000
    BID_ASK_FLOAT_WITH_MICROSECONDS = 0x100000
