"""Check symbols, without messages.py: options are checked before its import."""

MAX_SYMBOL_LENGTH = 63
"""Characters of a symbol. The protocol has 64 bytes for it, with the NUL at its end."""


def is_symbol(value: object) -> bool:
    """Return whether a value can be a symbol: 1 to MAX_SYMBOL_LENGTH characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SYMBOL_LENGTH
