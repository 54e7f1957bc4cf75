"""Name the values of Command and Flags in records of market depth.

The records are HISTORICAL_MARKET_DEPTH_DATA_RECORD_RESPONSE and those of Sierra Chart's market depth files.
"""

CLEAR_BOOK, ADD_BID, ADD_ASK, MODIFY_BID, MODIFY_ASK, DELETE_BID, DELETE_ASK = range(1, 8)
"""Values of Command."""

END_OF_BATCH = 1
"""Bit of Flags: the last record of a batch."""
