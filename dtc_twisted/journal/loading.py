"""Load the index from the journal's file at the start, and verify its rows."""

from dtc_twisted.journal.index import JournalIndex
from dtc_twisted.journal.reader import JournalReader
from dtc_twisted.journal.schema import checksum

_BATCH = 10_000


def load_index(reader: JournalReader, index: JournalIndex) -> int:
    """Fill the index from the file, and return the number of the last entry.

    Every row that the start of the gateway depends on is verified. Raises JournalFailed.
    """
    _load_new_orders(reader, index)
    _load_updated_orders(reader, index)
    _load_open_orders(reader, index)
    _load_last_fills(reader, index)
    unanswered = {command.id for command in reader.unanswered_commands()}
    if unanswered != set(index.unanswered.values()):
        reader.damaged("The commands without an answer are damaged.")
    reader.open_orders()
    reader.last_command(("halt",))
    reader.last_command(("resume",))
    last = "SELECT max((SELECT ifnull(max(id), 0) FROM commands), (SELECT ifnull(max(id), 0) FROM updates))"
    found: int = reader.select(last)[0][0]
    return found


def load_last_open_row(reader: JournalReader) -> int:
    """Return the largest rowid of table open_orders; 0: the table is empty."""
    found: int = reader.select("SELECT ifnull(max(rowid), 0) FROM open_orders")[0][0]
    return found


def _load_new_orders(reader: JournalReader, index: JournalIndex) -> None:
    query = "SELECT rowid, * FROM command_orders WHERE rowid > ? ORDER BY rowid LIMIT ?"
    last = 0
    while rows := reader.select(query, (last, _BATCH)):
        last = rows[-1][0]
        for number, command_id, name, is_new, is_answered, crc32 in rows:
            if checksum(command_id, name, is_new, is_answered) != crc32:
                reader.damaged(f"Row {number} of table command_orders is damaged.")
            elif is_new:
                index.new_orders[name] = command_id
                if not is_answered:
                    index.unanswered[name] = command_id


def _load_updated_orders(reader: JournalReader, index: JournalIndex) -> None:
    for column in ("client_order_id", "server_order_id", "previous_server_order_id"):
        for row in reader.select(f"SELECT DISTINCT {column} FROM updates WHERE {column} <> ''"):
            index.updated[row[0]] = None


def _load_open_orders(reader: JournalReader, index: JournalIndex) -> None:
    query = (
        "SELECT open_orders.rowid, open_orders.client_order_id, open_orders.server_order_id, "
        "trade_account, updates.client_order_id, updates.server_order_id, is_open "
        "FROM open_orders LEFT JOIN updates ON updates.id = update_id"
    )
    for row, client, server, account, *stored in reader.select(query):
        if [client, server, 1] != stored:
            reader.damaged(f"Row {row} of table open_orders is damaged.")
        else:
            index.open_orders[account, client, server] = row


def _load_last_fills(reader: JournalReader, index: JournalIndex) -> None:
    """Load the last fill of each account, with one index lookup per account."""
    account = None
    next_account = "SELECT min(trade_account) FROM updates WHERE fill_at > 0"
    while True:
        condition = "" if account is None else " AND trade_account > :account"
        account = reader.select(next_account + condition, {"account": account})[0][0]
        if account is None:
            return
        query = "SELECT max(fill_at) FROM updates WHERE trade_account = ? AND fill_at > 0"
        index.last_fills[account] = reader.select(query, (account,))[0][0]
