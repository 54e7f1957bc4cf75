"""Make the answers to a logon."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.simulator.market.sierra_json import str_or_empty
from dtc_twisted.simulator.settings import ServerSettings

SERVER_NAME = "SC DTC Server"

WELCOME = "Connected to SC DTC Protocol server. Service=simulator|SymbolSettings=simulator"

_TEXT_LENGTH = 128
"""Bytes of GENERAL_LOG_MESSAGE.MessageText, with the NUL that ends it in the binary protocol."""


def greeting(request: dtc.LogonRequest) -> dtc.GeneralLogMessage:
    """Return the log message that precedes the answer."""
    text = f"{SERVER_NAME}: logon of {str_or_empty(request.ClientName)}."
    return dtc.GeneralLogMessage(MessageText=text[: _TEXT_LENGTH - 1])


def successful_logon(settings: ServerSettings, is_main: bool) -> dtc.LogonResponse:
    """Return the answer to a logon that succeeds.

    is_main: whether it is the main port, not that of historical data.
    """
    fields: dict[str, Any] = {
        "ProtocolVersion": dtc.CURRENT_VERSION,
        "Result": dtc.LogonStatusEnum.LOGON_SUCCESS,
        "ResultText": WELCOME,
        "ReconnectAddress": "",
        "Integer_1": 0,
        "ServerName": SERVER_NAME,
        "MarketDepthUpdatesBestBidAndAsk": 0,
        "TradingIsSupported": int(is_main),
        "OCOOrdersSupported": int(is_main),
        "OrderCancelReplaceSupported": int(is_main),
        "SymbolExchangeDelimiter": "",
        "SecurityDefinitionsSupported": int(is_main),
        "HistoricalPriceDataSupported": int(not is_main),
        "ResubscribeWhenMarketDataFeedAvailable": 0,
        "MarketDepthIsSupported": int(is_main),
        "OneHistoricalPriceDataRequestPerConnection": int(not is_main),
        "BracketOrdersSupported": int(is_main),
        "UsesMultiplePositionsPerSymbolAndTradeAccount": 0,
        "MarketDataSupported": int(is_main),
    }
    return dtc.LogonResponse(**fields | (settings.logon_fields if is_main else {}))


def failed_logon(result: int, text: str, reconnect_address: str = "") -> dtc.LogonResponse:
    """Return the answer to a logon that fails.

    result: the LogonStatusEnum of the answer.
    """
    return dtc.LogonResponse(
        ProtocolVersion=dtc.CURRENT_VERSION,
        Result=dtc.LogonStatusEnum(result),
        ResultText=text,
        ReconnectAddress=reconnect_address,
        ServerName=SERVER_NAME,
    )
