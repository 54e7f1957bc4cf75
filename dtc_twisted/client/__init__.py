"""Use a gateway from Python: `Client` blocks, `AsyncClient` is for asyncio.

Neither imports Twisted.

Needs the extra `client` (httpx and websockets). See docs/client.md.
"""

from dtc_twisted.client.api_error import ApiError as ApiError
from dtc_twisted.client.api_error import GatewayUnreachable as GatewayUnreachable
from dtc_twisted.client.async_client import AsyncClient as AsyncClient
from dtc_twisted.client.blocking_client import Client as Client
from dtc_twisted.client.local_state import LocalBook as LocalBook
from dtc_twisted.client.local_state import LocalQuotes as LocalQuotes
from dtc_twisted.client.rows import OrderResult as OrderResult
from dtc_twisted.client.rows import Outcome as Outcome
from dtc_twisted.client.rows import Rows as Rows
from dtc_twisted.client.rows import time_of as time_of
from dtc_twisted.client.stream_events import AccountUpdate as AccountUpdate
from dtc_twisted.client.stream_events import Book as Book
from dtc_twisted.client.stream_events import BookChange as BookChange
from dtc_twisted.client.stream_events import Disconnected as Disconnected
from dtc_twisted.client.stream_events import Ended as Ended
from dtc_twisted.client.stream_events import Gap as Gap
from dtc_twisted.client.stream_events import Live as Live
from dtc_twisted.client.stream_events import MarketUpdate as MarketUpdate
from dtc_twisted.client.stream_events import Skipped as Skipped
from dtc_twisted.client.stream_events import Stale as Stale
from dtc_twisted.client.stream_events import StreamEvent as StreamEvent
from dtc_twisted.client.stream_events import Subscribed as Subscribed
