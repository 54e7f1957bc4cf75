"""Compare names of symbols as a server may compare them."""

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=4096)
def symbol_key(symbol: str) -> str:
    """Return a key that is equal for all spellings of a symbol.

    Upper and lower case, surrounding spaces and full-width letters make no other symbol here, so that they do not make
    another limit either.
    """
    return unicodedata.normalize("NFKC", symbol).strip().casefold()
