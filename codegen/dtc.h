/*
 * The DTC protocol, version 8: its numbers, names, types, field order, defaults and packing, in plain C99.
 *
 * This file is kept by hand. `python -m codegen` makes dtc_twisted/messages.py from it, and refuses what it does not
 * understand; a C compiler reads it as well, so that sizes and offsets can be compared:
 *
 *     gcc -std=c99 -pedantic -Wall -Werror -Wno-unknown-pragmas -fsyntax-only codegen/dtc.h
 *
 * Source: the Data and Trading Communications Protocol, a specification in the public domain (dtcprotocol.org), and
 * what Sierra Chart's server is known to send. The newest known layout stands here; messages that it has dropped are
 * marked legacy, because older servers still send them.
 *
 * How a message is stated:
 *
 *   #pragma dtc SENDER MARKS...     SENDER is client, server or both. Marks: `compact`, the server sends it in JSON as
 *                                   {"Type": n, "F": [...]}; `legacy`, dropped from the protocol in August 2020;
 *                                   `nonstandard`, Sierra Chart's own.
 *   struct s_Name { ... };          The fields in the protocol's order. Size counts the bytes of the binary form.
 *   const struct s_Name s_Name_default = { ... };
 *                                   Its message number (.Type; the struct's name tells nothing) and what its fields
 *                                   start as. A field that is not listed starts as 0 or as empty text.
 *
 * Units and conventions:
 *
 *   - Date-times are UTC, since 1970-01-01; the type's name tells the unit, seconds where it tells none. 0: unset.
 *   - Prices are in the server's own format: a price times DisplayPriceMultiplier of the symbol's
 *     SECURITY_DEFINITION_RESPONSE is what a person reads.
 *   - DBL_MAX, FLT_MAX, INT_MAX and UINT_MAX mean "unset" in the fields that start so.
 *   - Fields named Is..., No..., Use... and such, of type uint8_t, are flags: 0 or 1.
 *   - Text is 8-bit and ends with a NUL byte, which its length includes.
 *   - RequestID is chosen by who asks, is repeated in each answer, and is 0 in what was not asked for.
 *   - SymbolID is chosen by the client for a symbol when it subscribes; the server's updates carry nothing else.
 */

#include <float.h>
#include <limits.h>
#include <stdint.h>

/* =================================================================================================================
 * Constants
 * ================================================================================================================= */

enum { CURRENT_VERSION = 8 };

/* Bytes of text fields, with the NUL byte at the end. */
enum
{
    USERNAME_PASSWORD_LENGTH = 32,
    SYMBOL_EXCHANGE_DELIMITER_LENGTH = 4,
    SYMBOL_LENGTH = 64,
    EXCHANGE_LENGTH = 16,
    UNDERLYING_SYMBOL_LENGTH = 32,
    SYMBOL_DESCRIPTION_LENGTH = 64,
    EXCHANGE_DESCRIPTION_LENGTH = 48,
    ORDER_ID_LENGTH = 32,
    TRADE_ACCOUNT_LENGTH = 32,
    TEXT_DESCRIPTION_LENGTH = 96,
    TEXT_MESSAGE_LENGTH = 256,
    ORDER_FREE_FORM_TEXT_LENGTH = 48,
    CLIENT_SERVER_NAME_LENGTH = 48,
    GENERAL_IDENTIFIER_LENGTH = 64,
    CURRENCY_CODE_LENGTH = 8,
    ORDER_FILL_EXECUTION_LENGTH = 64,
    PRICE_STRING_LENGTH = 16,
};

/* Date-times: UTC, since 1970-01-01. */
typedef int64_t t_DateTime;                     /* seconds */
typedef uint32_t t_DateTime4Byte;               /* seconds */
typedef double t_DateTimeWithMilliseconds;      /* seconds, with milliseconds as the fraction */
typedef int64_t t_DateTimeWithMillisecondsInt;  /* milliseconds */
typedef int64_t t_DateTimeWithMicrosecondsInt;  /* microseconds */

/* =================================================================================================================
 * Message numbers
 *
 * A message is known by its number alone: the .Type of a struct is one of these.
 * ================================================================================================================= */

enum MessageType
{
    /* Logon and session */
    LOGON_REQUEST = 1,
    LOGON_RESPONSE = 2,
    HEARTBEAT = 3,
    LOGOFF = 5,
    ENCODING_REQUEST = 6,
    ENCODING_RESPONSE = 7,

    /* Market data and market depth */
    MARKET_DATA_FEED_STATUS = 100,
    MARKET_DATA_REQUEST = 101,
    MARKET_DEPTH_REQUEST = 102,
    MARKET_DATA_REJECT = 103,
    MARKET_DATA_SNAPSHOT = 104,
    MARKET_DEPTH_UPDATE_LEVEL = 106,
    MARKET_DATA_UPDATE_TRADE = 107,
    MARKET_DATA_UPDATE_BID_ASK = 108,
    MARKET_DATA_UPDATE_TRADE_COMPACT = 112,
    MARKET_DATA_UPDATE_SESSION_VOLUME = 113,
    MARKET_DATA_UPDATE_SESSION_HIGH = 114,
    MARKET_DATA_UPDATE_SESSION_LOW = 115,
    MARKET_DATA_FEED_SYMBOL_STATUS = 116,
    MARKET_DATA_UPDATE_BID_ASK_COMPACT = 117,
    MARKET_DATA_UPDATE_SESSION_SETTLEMENT = 119,
    MARKET_DATA_UPDATE_SESSION_OPEN = 120,
    MARKET_DEPTH_REJECT = 121,
    MARKET_DEPTH_SNAPSHOT_LEVEL = 122,
    MARKET_DATA_UPDATE_OPEN_INTEREST = 124,
    MARKET_DATA_SNAPSHOT_INT = 125,
    MARKET_DATA_UPDATE_TRADE_INT = 126,
    MARKET_DATA_UPDATE_BID_ASK_INT = 127,
    MARKET_DATA_UPDATE_SESSION_OPEN_INT = 128,
    MARKET_DATA_UPDATE_SESSION_HIGH_INT = 129,
    MARKET_DATA_UPDATE_SESSION_LOW_INT = 130,
    MARKET_DATA_UPDATE_SESSION_SETTLEMENT_INT = 131,
    MARKET_DEPTH_SNAPSHOT_LEVEL_INT = 132,
    MARKET_DEPTH_UPDATE_LEVEL_INT = 133,
    MARKET_DATA_UPDATE_LAST_TRADE_SNAPSHOT = 134,
    MARKET_DATA_UPDATE_SESSION_NUM_TRADES = 135,
    MARKET_DATA_UPDATE_TRADING_SESSION_DATE = 136,
    MARKET_DATA_UPDATE_TRADE_WITH_UNBUNDLED_INDICATOR = 137,
    TRADING_SYMBOL_STATUS = 138,
    MARKET_DEPTH_UPDATE_LEVEL_FLOAT_WITH_MILLISECONDS = 140,
    MARKET_DEPTH_UPDATE_LEVEL_NO_TIMESTAMP = 141,
    MARKET_DATA_UPDATE_TRADE_NO_TIMESTAMP = 142,
    MARKET_DATA_UPDATE_BID_ASK_NO_TIMESTAMP = 143,
    MARKET_DATA_UPDATE_BID_ASK_FLOAT_WITH_MICROSECONDS = 144,  /* ...FLOAT_WITH_MILLISECONDS in headers of 2020 */
    MARKET_DEPTH_SNAPSHOT_LEVEL_FLOAT = 145,
    MARKET_DATA_UPDATE_TRADE_WITH_UNBUNDLED_INDICATOR_2 = 146,

    /* Market orders */
    MARKET_ORDERS_REQUEST = 150,
    MARKET_ORDERS_REJECT = 151,
    MARKET_ORDERS_ADD = 152,
    MARKET_ORDERS_MODIFY = 153,
    MARKET_ORDERS_REMOVE = 154,
    MARKET_ORDERS_SNAPSHOT_MESSAGE_BOUNDARY = 155,

    /* Order entry */
    SUBMIT_NEW_OCO_ORDER = 201,
    CANCEL_ORDER = 203,
    CANCEL_REPLACE_ORDER = 204,
    CANCEL_REPLACE_ORDER_INT = 205,
    SUBMIT_NEW_SINGLE_ORDER_INT = 206,
    SUBMIT_NEW_OCO_ORDER_INT = 207,
    SUBMIT_NEW_SINGLE_ORDER = 208,
    SUBMIT_FLATTEN_POSITION_ORDER = 209,
    FLATTEN_POSITIONS_FOR_TRADE_ACCOUNT = 210,

    /* Orders, fills and positions */
    OPEN_ORDERS_REQUEST = 300,
    ORDER_UPDATE = 301,
    OPEN_ORDERS_REJECT = 302,
    HISTORICAL_ORDER_FILLS_REQUEST = 303,
    HISTORICAL_ORDER_FILL_RESPONSE = 304,
    CURRENT_POSITIONS_REQUEST = 305,
    POSITION_UPDATE = 306,
    CURRENT_POSITIONS_REJECT = 307,
    HISTORICAL_ORDER_FILLS_REJECT = 308,
    ADD_CORRECTING_ORDER_FILL = 309,
    CORRECTING_ORDER_FILL_RESPONSE = 310,

    /* Trade accounts */
    TRADE_ACCOUNTS_REQUEST = 400,
    TRADE_ACCOUNT_RESPONSE = 401,

    /* Exchanges, symbols and security definitions */
    EXCHANGE_LIST_REQUEST = 500,
    EXCHANGE_LIST_RESPONSE = 501,
    SYMBOLS_FOR_EXCHANGE_REQUEST = 502,
    UNDERLYING_SYMBOLS_FOR_EXCHANGE_REQUEST = 503,
    SYMBOLS_FOR_UNDERLYING_REQUEST = 504,
    SECURITY_DEFINITION_FOR_SYMBOL_REQUEST = 506,
    SECURITY_DEFINITION_RESPONSE = 507,
    SYMBOL_SEARCH_REQUEST = 508,
    SECURITY_DEFINITION_REJECT = 509,

    /* Account balances */
    ACCOUNT_BALANCE_UPDATE = 600,
    ACCOUNT_BALANCE_REQUEST = 601,
    ACCOUNT_BALANCE_REJECT = 602,
    HISTORICAL_ACCOUNT_BALANCES_REQUEST = 603,
    HISTORICAL_ACCOUNT_BALANCES_REJECT = 604,
    HISTORICAL_ACCOUNT_BALANCE_RESPONSE = 606,
    ACCOUNT_BALANCE_ADJUSTMENT = 607,
    ACCOUNT_BALANCE_ADJUSTMENT_REJECT = 608,
    ACCOUNT_BALANCE_ADJUSTMENT_COMPLETE = 609,

    /* Messages for people, and the journal */
    USER_MESSAGE = 700,
    GENERAL_LOG_MESSAGE = 701,
    ALERT_MESSAGE = 702,
    JOURNAL_ENTRY_ADD = 703,
    JOURNAL_ENTRIES_REQUEST = 704,
    JOURNAL_ENTRIES_REJECT = 705,
    JOURNAL_ENTRY_RESPONSE = 706,

    /* Historical prices */
    HISTORICAL_PRICE_DATA_REQUEST = 800,
    HISTORICAL_PRICE_DATA_RESPONSE_HEADER = 801,
    HISTORICAL_PRICE_DATA_REJECT = 802,
    HISTORICAL_PRICE_DATA_RECORD_RESPONSE = 803,
    HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE = 804,
    HISTORICAL_PRICE_DATA_RECORD_RESPONSE_INT = 805,
    HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE_INT = 806,
    HISTORICAL_PRICE_DATA_RESPONSE_TRAILER = 807,

    /* Historical market depth */
    HISTORICAL_MARKET_DEPTH_DATA_REQUEST = 900,
    HISTORICAL_MARKET_DEPTH_DATA_RESPONSE_HEADER = 901,
    HISTORICAL_MARKET_DEPTH_DATA_REJECT = 902,
    HISTORICAL_MARKET_DEPTH_DATA_RECORD_RESPONSE = 903,

    /* Historical trades (Sierra Chart's own) */
    HISTORICAL_TRADES_REQUEST = 10100,
    HISTORICAL_TRADES_REJECT = 10101,
    HISTORICAL_TRADES_RESPONSE = 10102,
};
typedef uint16_t MessageType;

/* =================================================================================================================
 * Enums
 *
 * The typedef tells the type that the number has in the binary form. A server may send a number that is not
 * listed.
 * ================================================================================================================= */

/* On a WebSocket the encoding is always JSON_COMPACT_ENCODING. */
enum EncodingEnum
{
    BINARY_ENCODING = 0,
    BINARY_WITH_VARIABLE_LENGTH_STRINGS = 1,
    JSON_ENCODING = 2,
    JSON_COMPACT_ENCODING = 3,
    PROTOCOL_BUFFERS = 4,
};
typedef int32_t EncodingEnum;

/* After LOGON_ERROR a client may try again later; after LOGON_ERROR_NO_RECONNECT it must not. */
enum LogonStatusEnum
{
    LOGON_SUCCESS = 1,
    LOGON_ERROR = 2,
    LOGON_ERROR_NO_RECONNECT = 3,
    LOGON_RECONNECT_NEW_ADDRESS = 4,
};
typedef int32_t LogonStatusEnum;

/* UNSUBSCRIBE is not answered. */
enum RequestActionEnum
{
    SUBSCRIBE = 1,
    UNSUBSCRIBE = 2,
    SNAPSHOT = 3,
    SNAPSHOT_WITH_INTERVAL_UPDATES = 4,
};
typedef int32_t RequestActionEnum;

/* Where a trade stands among those that one order caused. */
enum UnbundledTradeIndicatorEnum
{
    UNBUNDLED_TRADE_NONE = 0,
    FIRST_SUB_TRADE_OF_UNBUNDLED_TRADE = 1,
    LAST_SUB_TRADE_OF_UNBUNDLED_TRADE = 2,
};
typedef int8_t UnbundledTradeIndicatorEnum;

/* What an order is in now. A status outside of this list has been seen. */
enum OrderStatusEnum
{
    ORDER_STATUS_UNSPECIFIED = 0,
    ORDER_STATUS_ORDER_SENT = 1,
    ORDER_STATUS_PENDING_OPEN = 2,
    ORDER_STATUS_PENDING_CHILD = 3,
    ORDER_STATUS_OPEN = 4,
    ORDER_STATUS_PENDING_CANCEL_REPLACE = 5,
    ORDER_STATUS_PENDING_CANCEL = 6,
    ORDER_STATUS_FILLED = 7,
    ORDER_STATUS_CANCELED = 8,
    ORDER_STATUS_REJECTED = 9,
    ORDER_STATUS_PARTIALLY_FILLED = 10,
};
typedef int32_t OrderStatusEnum;

/* Why an ORDER_UPDATE was sent. */
enum OrderUpdateReasonEnum
{
    ORDER_UPDATE_REASON_UNSET = 0,
    OPEN_ORDERS_REQUEST_RESPONSE = 1,
    NEW_ORDER_ACCEPTED = 2,
    GENERAL_ORDER_UPDATE = 3,
    ORDER_FILLED = 4,
    ORDER_FILLED_PARTIALLY = 5,
    ORDER_CANCELED = 6,
    ORDER_CANCEL_REPLACE_COMPLETE = 7,
    NEW_ORDER_REJECTED = 8,
    ORDER_CANCEL_REJECTED = 9,
    ORDER_CANCEL_REPLACE_REJECTED = 10,
};
typedef int32_t OrderUpdateReasonEnum;

/* AtBidOrAskEnum in one byte. */
enum AtBidOrAskEnum8
{
    BID_ASK_UNSET_8 = 0,
    AT_BID_8 = 1,
    AT_ASK_8 = 2,
};
typedef uint8_t AtBidOrAskEnum8;

/* The side of the book; of a trade, the side it was made at. */
enum AtBidOrAskEnum
{
    BID_ASK_UNSET = 0,
    AT_BID = 1,
    AT_ASK = 2,
};
typedef uint16_t AtBidOrAskEnum;

enum MarketDepthUpdateTypeEnum
{
    MARKET_DEPTH_UNSET = 0,
    MARKET_DEPTH_INSERT_UPDATE_LEVEL = 1,
    MARKET_DEPTH_DELETE_LEVEL = 2,
};
typedef uint8_t MarketDepthUpdateTypeEnum;

/* Updates that belong together: a book is consistent only after FINAL_UPDATE_TRUE. */
enum FinalUpdateInBatchEnum
{
    FINAL_UPDATE_UNSET = 0,
    FINAL_UPDATE_TRUE = 1,
    FINAL_UPDATE_FALSE = 2,
    FINAL_UPDATE_BEGIN_BATCH = 3,
};
typedef uint8_t FinalUpdateInBatchEnum;

/* Where a set of messages begins and ends. */
enum MessageSetBoundaryEnum
{
    MESSAGE_SET_BOUNDARY_UNSET = 0,
    MESSAGE_SET_BOUNDARY_BEGIN = 1,
    MESSAGE_SET_BOUNDARY_END = 2,
};
typedef uint8_t MessageSetBoundaryEnum;

enum OrderTypeEnum
{
    ORDER_TYPE_UNSET = 0,
    ORDER_TYPE_MARKET = 1,
    ORDER_TYPE_LIMIT = 2,
    ORDER_TYPE_STOP = 3,
    ORDER_TYPE_STOP_LIMIT = 4,
    ORDER_TYPE_MARKET_IF_TOUCHED = 5,
    ORDER_TYPE_LIMIT_IF_TOUCHED = 6,
    ORDER_TYPE_MARKET_LIMIT = 7,
};
typedef int32_t OrderTypeEnum;

enum TimeInForceEnum
{
    TIF_UNSET = 0,
    TIF_DAY = 1,
    TIF_GOOD_TILL_CANCELED = 2,
    TIF_GOOD_TILL_DATE_TIME = 3,
    TIF_IMMEDIATE_OR_CANCEL = 4,
    TIF_ALL_OR_NONE = 5,
    TIF_FILL_OR_KILL = 6,
};
typedef int32_t TimeInForceEnum;

enum BuySellEnum
{
    BUY_SELL_UNSET = 0,
    BUY = 1,
    SELL = 2,
};
typedef int32_t BuySellEnum;

enum OpenCloseTradeEnum
{
    TRADE_UNSET = 0,
    TRADE_OPEN = 1,
    TRADE_CLOSE = 2,
};
typedef int32_t OpenCloseTradeEnum;

enum PartialFillHandlingEnum
{
    PARTIAL_FILL_UNSET = 0,
    PARTIAL_FILL_HANDLING_REDUCE_QUANTITY = 1,
    PARTIAL_FILL_HANDLING_IMMEDIATE_CANCEL = 2,
};
typedef int8_t PartialFillHandlingEnum;

/* Whether the server has a connection to where its market data comes from. */
enum MarketDataFeedStatusEnum
{
    MARKET_DATA_FEED_STATUS_UNSET = 0,
    MARKET_DATA_FEED_UNAVAILABLE = 1,
    MARKET_DATA_FEED_AVAILABLE = 2,
};
typedef int32_t MarketDataFeedStatusEnum;

enum TradingStatusEnum
{
    TRADING_STATUS_UNKNOWN = 0,
    TRADING_STATUS_PRE_OPEN = 1,
    TRADING_STATUS_OPEN = 2,
    TRADING_STATUS_CLOSE = 3,
    TRADING_STATUS_TRADING_HALT = 4,
};
typedef int8_t TradingStatusEnum;

/* How people want to see a price: as a decimal with so many digits, or as a fraction with that denominator,
 * whose number is the denominator plus 100 (the parts of a 32nd: 134, 136, 140). */
enum PriceDisplayFormatEnum
{
    PRICE_DISPLAY_FORMAT_UNSET = -1,
    PRICE_DISPLAY_FORMAT_DECIMAL_0 = 0,
    PRICE_DISPLAY_FORMAT_DECIMAL_1 = 1,
    PRICE_DISPLAY_FORMAT_DECIMAL_2 = 2,
    PRICE_DISPLAY_FORMAT_DECIMAL_3 = 3,
    PRICE_DISPLAY_FORMAT_DECIMAL_4 = 4,
    PRICE_DISPLAY_FORMAT_DECIMAL_5 = 5,
    PRICE_DISPLAY_FORMAT_DECIMAL_6 = 6,
    PRICE_DISPLAY_FORMAT_DECIMAL_7 = 7,
    PRICE_DISPLAY_FORMAT_DECIMAL_8 = 8,
    PRICE_DISPLAY_FORMAT_DECIMAL_9 = 9,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_256 = 356,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_128 = 228,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_64 = 164,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_32_EIGHTHS = 140,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_32_QUARTERS = 136,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_32_HALVES = 134,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_32 = 132,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_16 = 116,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_8 = 108,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_4 = 104,
    PRICE_DISPLAY_FORMAT_DENOMINATOR_2 = 102,
};
typedef int32_t PriceDisplayFormatEnum;

enum SecurityTypeEnum
{
    SECURITY_TYPE_UNSET = 0,
    SECURITY_TYPE_FUTURES = 1,
    SECURITY_TYPE_STOCK = 2,
    SECURITY_TYPE_FOREX = 3,
    SECURITY_TYPE_INDEX = 4,
    SECURITY_TYPE_FUTURES_STRATEGY = 5,
    SECURITY_TYPE_FUTURES_OPTION = 7,
    SECURITY_TYPE_STOCK_OPTION = 6,
    SECURITY_TYPE_INDEX_OPTION = 8,
    SECURITY_TYPE_BOND = 9,
    SECURITY_TYPE_MUTUAL_FUND = 10,
};
typedef int32_t SecurityTypeEnum;

/* Of an option. */
enum PutCallEnum
{
    PC_UNSET = 0,
    PC_CALL = 1,
    PC_PUT = 2,
};
typedef uint8_t PutCallEnum;

enum SearchTypeEnum
{
    SEARCH_TYPE_UNSET = 0,
    SEARCH_TYPE_BY_SYMBOL = 1,
    SEARCH_TYPE_BY_DESCRIPTION = 2,
};
typedef int32_t SearchTypeEnum;

/* Seconds in one record; 0: each trade. Servers take other numbers of seconds as well. */
enum HistoricalDataIntervalEnum
{
    INTERVAL_TICK = 0,
    INTERVAL_1_SECOND = 1,
    INTERVAL_2_SECONDS = 2,
    INTERVAL_4_SECONDS = 4,
    INTERVAL_5_SECONDS = 5,
    INTERVAL_10_SECONDS = 10,
    INTERVAL_30_SECONDS = 30,
    INTERVAL_1_MINUTE = 60,
    INTERVAL_5_MINUTE = 300,
    INTERVAL_10_MINUTE = 600,
    INTERVAL_15_MINUTE = 900,
    INTERVAL_30_MINUTE = 1800,
    INTERVAL_1_HOUR = 3600,
    INTERVAL_2_HOURS = 7200,
    INTERVAL_1_DAY = 86400,
    INTERVAL_1_WEEK = 604800,
};
typedef int32_t HistoricalDataIntervalEnum;

enum HistoricalPriceDataRejectReasonCodeEnum
{
    HPDR_UNSET = 0,
    HPDR_UNABLE_TO_SERVE_DATA_RETRY_IN_SPECIFIED_SECONDS = 1,
    HPDR_UNABLE_TO_SERVE_DATA_DO_NOT_RETRY = 2,
    HPDR_DATA_REQUEST_OUTSIDE_BOUNDS_OF_AVAILABLE_DATA = 3,
    HPDR_GENERAL_REJECT_ERROR = 4,
};
typedef int16_t HistoricalPriceDataRejectReasonCodeEnum;

enum TradeConditionEnum
{
    TRADE_CONDITION_NONE = 0,
    TRADE_CONDITION_NON_LAST_UPDATE_EQUITY_TRADE = 1,
    TRADE_CONDITION_ODD_LOT_EQUITY_TRADE = 2,
};
typedef int8_t TradeConditionEnum;

/* Which trading service a client asks for. */
enum TradeModeEnum
{
    TRADE_MODE_UNSET = 0,
    TRADE_MODE_DEMO = 1,
    TRADE_MODE_SIMULATED = 2,
    TRADE_MODE_LIVE = 3,
};
typedef int32_t TradeModeEnum;

/* =================================================================================================================
 * Logon and session
 * ================================================================================================================= */

#pragma pack(push, 8)

/* The first message of a connection. Integer_1 is a bit set of what the client wants: 0x4 unbundled trades; 0x80
 * depth updates as 140; 0x800 depth snapshots as 145; 0x80000 trades as 146; 0x100000 bid and ask as 144; 0x2
 * relay mode. */
#pragma dtc client
struct s_LogonRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t ProtocolVersion;
    char Username[USERNAME_PASSWORD_LENGTH];
    char Password[USERNAME_PASSWORD_LENGTH];
    char GeneralTextData[GENERAL_IDENTIFIER_LENGTH];
    int32_t Integer_1;
    int32_t Integer_2;
    int32_t HeartbeatIntervalInSeconds;  /* of both sides */
    TradeModeEnum TradeMode;  /* called Unused1 since 2021; Sierra Chart still reads TradeMode */
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char HardwareIdentifier[GENERAL_IDENTIFIER_LENGTH];
    char ClientName[32];
    int32_t MarketDataTransmissionInterval;  /* milliseconds */
};
const struct s_LogonRequest s_LogonRequest_default = {
    .Size = sizeof(struct s_LogonRequest),
    .Type = LOGON_REQUEST,
    .ProtocolVersion = CURRENT_VERSION,
};

/* Result tells whether the client is logged on, ResultText why not, for people. Nothing but log and user
 * messages comes before it. The flags say what the server supports. */
#pragma dtc server
struct s_LogonResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t ProtocolVersion;
    LogonStatusEnum Result;
    char ResultText[TEXT_DESCRIPTION_LENGTH];
    char ReconnectAddress[64];  /* with LOGON_RECONNECT_NEW_ADDRESS */
    int32_t Integer_1;
    char ServerName[60];
    uint8_t MarketDepthUpdatesBestBidAndAsk;
    uint8_t TradingIsSupported;
    uint8_t OCOOrdersSupported;
    uint8_t OrderCancelReplaceSupported;
    char SymbolExchangeDelimiter[SYMBOL_EXCHANGE_DELIMITER_LENGTH];
    uint8_t SecurityDefinitionsSupported;
    uint8_t HistoricalPriceDataSupported;
    uint8_t ResubscribeWhenMarketDataFeedAvailable;
    uint8_t MarketDepthIsSupported;
    uint8_t OneHistoricalPriceDataRequestPerConnection;
    uint8_t BracketOrdersSupported;
    uint8_t Unused_1;
    uint8_t UsesMultiplePositionsPerSymbolAndTradeAccount;
    uint8_t MarketDataSupported;
};
const struct s_LogonResponse s_LogonResponse_default = {
    .Size = sizeof(struct s_LogonResponse),
    .Type = LOGON_RESPONSE,
    .ProtocolVersion = CURRENT_VERSION,
    .Result = LOGON_SUCCESS,
    .OrderCancelReplaceSupported = 1,
    .MarketDepthIsSupported = 1,
    .MarketDataSupported = 1,
};

/* Each side sends one every HeartbeatIntervalInSeconds, by its own timer. */
#pragma dtc both compact
struct s_Heartbeat
{
    uint16_t Size;
    uint16_t Type;
    uint32_t NumDroppedMessages;  /* market data that the client read too slowly for */
    t_DateTime CurrentDateTime;
};
const struct s_Heartbeat s_Heartbeat_default = {
    .Size = sizeof(struct s_Heartbeat),
    .Type = HEARTBEAT,
};

/* From either side, before it closes. DoNotReconnect = 1 is to be obeyed. */
#pragma dtc both
struct s_Logoff
{
    uint16_t Size;
    uint16_t Type;
    char Reason[TEXT_DESCRIPTION_LENGTH];
    uint8_t DoNotReconnect;
};
const struct s_Logoff s_Logoff_default = {
    .Size = sizeof(struct s_Logoff),
    .Type = LOGOFF,
};

/* Never sent on a WebSocket. */
#pragma dtc client
struct s_EncodingRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t ProtocolVersion;
    EncodingEnum Encoding;
    char ProtocolType[4];
};
const struct s_EncodingRequest s_EncodingRequest_default = {
    .Size = sizeof(struct s_EncodingRequest),
    .Type = ENCODING_REQUEST,
    .ProtocolVersion = CURRENT_VERSION,
    .Encoding = BINARY_ENCODING,
    .ProtocolType = "DTC",
};

/* The encoding that the server chose. */
#pragma dtc server
struct s_EncodingResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t ProtocolVersion;
    EncodingEnum Encoding;
    char ProtocolType[4];
};
const struct s_EncodingResponse s_EncodingResponse_default = {
    .Size = sizeof(struct s_EncodingResponse),
    .Type = ENCODING_RESPONSE,
    .ProtocolVersion = CURRENT_VERSION,
    .Encoding = BINARY_ENCODING,
    .ProtocolType = "DTC",
};

#pragma pack(pop)

/* =================================================================================================================
 * Market data and market depth
 *
 * Market data of one symbol is a MARKET_DATA_SNAPSHOT, sent after the subscription and again at the start of each
 * trading session, and then updates of what changed. Market depth is a batch of snapshot levels, which replaces
 * the book, and then updates; a level is found by its side and price.
 *
 * Several messages say the same thing in less space, or with a finer time: which of them a server sends depends on
 * the bits of LOGON_REQUEST.Integer_1.
 * ================================================================================================================= */

#pragma pack(push, 8)

/* Of all symbols. Whether to subscribe again when the feed is back: ResubscribeWhenMarketDataFeedAvailable in
 * LOGON_RESPONSE. */
#pragma dtc server
struct s_MarketDataFeedStatus
{
    uint16_t Size;
    uint16_t Type;
    MarketDataFeedStatusEnum Status;
};
const struct s_MarketDataFeedStatus s_MarketDataFeedStatus_default = {
    .Size = sizeof(struct s_MarketDataFeedStatus),
    .Type = MARKET_DATA_FEED_STATUS,
};

/* Subscribe to a symbol, leave it, or ask for one snapshot. */
#pragma dtc client
struct s_MarketDataRequest
{
    uint16_t Size;
    uint16_t Type;
    RequestActionEnum RequestAction;
    uint32_t SymbolID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    uint32_t IntervalForSnapshotUpdatesInMilliseconds;  /* with SNAPSHOT_WITH_INTERVAL_UPDATES */
};
const struct s_MarketDataRequest s_MarketDataRequest_default = {
    .Size = sizeof(struct s_MarketDataRequest),
    .Type = MARKET_DATA_REQUEST,
    .RequestAction = SUBSCRIBE,
};

/* Only where MarketDepthIsSupported in LOGON_RESPONSE. */
#pragma dtc client
struct s_MarketDepthRequest
{
    uint16_t Size;
    uint16_t Type;
    RequestActionEnum RequestAction;
    uint32_t SymbolID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    int32_t NumLevels;
};
const struct s_MarketDepthRequest s_MarketDepthRequest_default = {
    .Size = sizeof(struct s_MarketDepthRequest),
    .Type = MARKET_DEPTH_REQUEST,
    .RequestAction = SUBSCRIBE,
};

/* The answer to a MARKET_DATA_REQUEST that cannot be met. */
#pragma dtc server
struct s_MarketDataReject
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_MarketDataReject s_MarketDataReject_default = {
    .Size = sizeof(struct s_MarketDataReject),
    .Type = MARKET_DATA_REJECT,
};

/* All that is known of a symbol. Prices that are all 0 mean that there is no data: zero is not a price. */
#pragma dtc server compact
struct s_MarketDataSnapshot
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double SessionSettlementPrice;
    double SessionOpenPrice;
    double SessionHighPrice;
    double SessionLowPrice;
    double SessionVolume;
    uint32_t SessionNumTrades;
    uint32_t OpenInterest;
    double BidPrice;
    double AskPrice;
    double AskQuantity;
    double BidQuantity;
    double LastTradePrice;
    double LastTradeVolume;
    t_DateTimeWithMilliseconds LastTradeDateTime;
    t_DateTimeWithMilliseconds BidAskDateTime;
    t_DateTime4Byte SessionSettlementDateTime;
    t_DateTime4Byte TradingSessionDate;
    TradingStatusEnum TradingStatus;
    t_DateTimeWithMilliseconds MarketDepthUpdateDateTime;
};
const struct s_MarketDataSnapshot s_MarketDataSnapshot_default = {
    .Size = sizeof(struct s_MarketDataSnapshot),
    .Type = MARKET_DATA_SNAPSHOT,
    .SessionSettlementPrice = DBL_MAX,
    .SessionOpenPrice = DBL_MAX,
    .SessionHighPrice = DBL_MAX,
    .SessionLowPrice = DBL_MAX,
    .SessionVolume = DBL_MAX,
    .SessionNumTrades = UINT_MAX,
    .OpenInterest = UINT_MAX,
    .BidPrice = DBL_MAX,
    .AskPrice = DBL_MAX,
    .AskQuantity = DBL_MAX,
    .BidQuantity = DBL_MAX,
    .LastTradePrice = DBL_MAX,
    .LastTradeVolume = DBL_MAX,
};

/* One level of the book. */
#pragma dtc server compact
struct s_MarketDepthUpdateLevel
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum Side;
    double Price;
    double Quantity;
    MarketDepthUpdateTypeEnum UpdateType;
    t_DateTimeWithMilliseconds DateTime;
    uint32_t NumOrders;
    FinalUpdateInBatchEnum FinalUpdateInBatch;
    uint16_t Level;
};
const struct s_MarketDepthUpdateLevel s_MarketDepthUpdateLevel_default = {
    .Size = sizeof(struct s_MarketDepthUpdateLevel),
    .Type = MARKET_DEPTH_UPDATE_LEVEL,
};

/* One trade. */
#pragma dtc server compact
struct s_MarketDataUpdateTrade
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum AtBidOrAsk;
    double Price;
    double Volume;
    t_DateTimeWithMilliseconds DateTime;
};
const struct s_MarketDataUpdateTrade s_MarketDataUpdateTrade_default = {
    .Size = sizeof(struct s_MarketDataUpdateTrade),
    .Type = MARKET_DATA_UPDATE_TRADE,
};

/* The best bid and ask. */
#pragma dtc server compact
struct s_MarketDataUpdateBidAsk
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double BidPrice;
    float BidQuantity;
    double AskPrice;
    float AskQuantity;
    t_DateTime4Byte DateTime;
};
const struct s_MarketDataUpdateBidAsk s_MarketDataUpdateBidAsk_default = {
    .Size = sizeof(struct s_MarketDataUpdateBidAsk),
    .Type = MARKET_DATA_UPDATE_BID_ASK,
    .BidPrice = DBL_MAX,
    .AskPrice = DBL_MAX,
};

/* A trade in less space. Unlike elsewhere SymbolID is not first here; a server is known to send it first in
 * JSON. */
#pragma dtc server compact
struct s_MarketDataUpdateTradeCompact
{
    uint16_t Size;
    uint16_t Type;
    float Price;
    float Volume;
    t_DateTime4Byte DateTime;
    uint32_t SymbolID;
    AtBidOrAskEnum AtBidOrAsk;
};
const struct s_MarketDataUpdateTradeCompact s_MarketDataUpdateTradeCompact_default = {
    .Size = sizeof(struct s_MarketDataUpdateTradeCompact),
    .Type = MARKET_DATA_UPDATE_TRADE_COMPACT,
};

/* Volume of the trading session. */
#pragma dtc server compact
struct s_MarketDataUpdateSessionVolume
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double Volume;
    t_DateTime4Byte TradingSessionDate;
    uint8_t IsFinalSessionVolume;
};
const struct s_MarketDataUpdateSessionVolume s_MarketDataUpdateSessionVolume_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionVolume),
    .Type = MARKET_DATA_UPDATE_SESSION_VOLUME,
};

#pragma dtc server compact
struct s_MarketDataUpdateSessionHigh
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionHigh s_MarketDataUpdateSessionHigh_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionHigh),
    .Type = MARKET_DATA_UPDATE_SESSION_HIGH,
};

#pragma dtc server compact
struct s_MarketDataUpdateSessionLow
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionLow s_MarketDataUpdateSessionLow_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionLow),
    .Type = MARKET_DATA_UPDATE_SESSION_LOW,
};

/* As MARKET_DATA_FEED_STATUS, of one symbol. */
#pragma dtc server
struct s_MarketDataFeedSymbolStatus
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    MarketDataFeedStatusEnum Status;
};
const struct s_MarketDataFeedSymbolStatus s_MarketDataFeedSymbolStatus_default = {
    .Size = sizeof(struct s_MarketDataFeedSymbolStatus),
    .Type = MARKET_DATA_FEED_SYMBOL_STATUS,
};

/* Bid and ask in less space. Unlike elsewhere SymbolID is not first here; a server is known to send it first in
 * JSON. */
#pragma dtc server compact
struct s_MarketDataUpdateBidAskCompact
{
    uint16_t Size;
    uint16_t Type;
    float BidPrice;
    float BidQuantity;
    float AskPrice;
    float AskQuantity;
    t_DateTime4Byte DateTime;
    uint32_t SymbolID;
};
const struct s_MarketDataUpdateBidAskCompact s_MarketDataUpdateBidAskCompact_default = {
    .Size = sizeof(struct s_MarketDataUpdateBidAskCompact),
    .Type = MARKET_DATA_UPDATE_BID_ASK_COMPACT,
    .BidPrice = FLT_MAX,
    .AskPrice = FLT_MAX,
};

#pragma dtc server compact
struct s_MarketDataUpdateSessionSettlement
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double Price;
    t_DateTime4Byte DateTime;
};
const struct s_MarketDataUpdateSessionSettlement s_MarketDataUpdateSessionSettlement_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionSettlement),
    .Type = MARKET_DATA_UPDATE_SESSION_SETTLEMENT,
};

#pragma dtc server compact
struct s_MarketDataUpdateSessionOpen
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionOpen s_MarketDataUpdateSessionOpen_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionOpen),
    .Type = MARKET_DATA_UPDATE_SESSION_OPEN,
};

#pragma dtc server
struct s_MarketDepthReject
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_MarketDepthReject s_MarketDepthReject_default = {
    .Size = sizeof(struct s_MarketDepthReject),
    .Type = MARKET_DEPTH_REJECT,
};

/* One level of the book as it is: the first of a batch has IsFirstMessageInBatch, the last IsLastMessageInBatch.
 * An empty book is one message with both flags and no price. */
#pragma dtc server compact
struct s_MarketDepthSnapshotLevel
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum Side;
    double Price;
    double Quantity;
    uint16_t Level;
    uint8_t IsFirstMessageInBatch;
    uint8_t IsLastMessageInBatch;
    t_DateTimeWithMilliseconds DateTime;
    uint32_t NumOrders;
};
const struct s_MarketDepthSnapshotLevel s_MarketDepthSnapshotLevel_default = {
    .Size = sizeof(struct s_MarketDepthSnapshotLevel),
    .Type = MARKET_DEPTH_SNAPSHOT_LEVEL,
};

#pragma dtc server compact
struct s_MarketDataUpdateOpenInterest
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    uint32_t OpenInterest;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateOpenInterest s_MarketDataUpdateOpenInterest_default = {
    .Size = sizeof(struct s_MarketDataUpdateOpenInterest),
    .Type = MARKET_DATA_UPDATE_OPEN_INTEREST,
};

/* MARKET_DATA_SNAPSHOT with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataSnapshot_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t SessionSettlementPrice;
    int32_t SessionOpenPrice;
    int32_t SessionHighPrice;
    int32_t SessionLowPrice;
    int32_t SessionVolume;
    uint32_t SessionNumTrades;
    uint32_t OpenInterest;
    int32_t BidPrice;
    int32_t AskPrice;
    int32_t AskQuantity;
    int32_t BidQuantity;
    int32_t LastTradePrice;
    int32_t LastTradeVolume;
    t_DateTimeWithMilliseconds LastTradeDateTime;
    t_DateTimeWithMilliseconds BidAskDateTime;
    t_DateTime4Byte SessionSettlementDateTime;
    t_DateTime4Byte TradingSessionDate;
    TradingStatusEnum TradingStatus;
};
const struct s_MarketDataSnapshot_Int s_MarketDataSnapshot_Int_default = {
    .Size = sizeof(struct s_MarketDataSnapshot_Int),
    .Type = MARKET_DATA_SNAPSHOT_INT,
    .SessionSettlementPrice = INT_MAX,
    .SessionOpenPrice = INT_MAX,
    .SessionHighPrice = INT_MAX,
    .SessionLowPrice = INT_MAX,
    .SessionVolume = INT_MAX,
    .SessionNumTrades = UINT_MAX,
    .OpenInterest = UINT_MAX,
    .BidPrice = INT_MAX,
    .AskPrice = INT_MAX,
    .AskQuantity = INT_MAX,
    .BidQuantity = INT_MAX,
    .LastTradePrice = INT_MAX,
    .LastTradeVolume = INT_MAX,
};

/* MARKET_DATA_UPDATE_TRADE with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateTrade_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum AtBidOrAsk;
    int32_t Price;
    int32_t Volume;
    t_DateTimeWithMilliseconds DateTime;
};
const struct s_MarketDataUpdateTrade_Int s_MarketDataUpdateTrade_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateTrade_Int),
    .Type = MARKET_DATA_UPDATE_TRADE_INT,
};

/* MARKET_DATA_UPDATE_BID_ASK with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateBidAsk_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t BidPrice;
    int32_t BidQuantity;
    int32_t AskPrice;
    int32_t AskQuantity;
    t_DateTime4Byte DateTime;
};
const struct s_MarketDataUpdateBidAsk_Int s_MarketDataUpdateBidAsk_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateBidAsk_Int),
    .Type = MARKET_DATA_UPDATE_BID_ASK_INT,
    .BidPrice = INT_MAX,
    .AskPrice = INT_MAX,
};

/* MARKET_DATA_UPDATE_SESSION_OPEN with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateSessionOpen_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionOpen_Int s_MarketDataUpdateSessionOpen_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionOpen_Int),
    .Type = MARKET_DATA_UPDATE_SESSION_OPEN_INT,
};

/* MARKET_DATA_UPDATE_SESSION_HIGH with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateSessionHigh_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionHigh_Int s_MarketDataUpdateSessionHigh_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionHigh_Int),
    .Type = MARKET_DATA_UPDATE_SESSION_HIGH_INT,
};

/* MARKET_DATA_UPDATE_SESSION_LOW with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateSessionLow_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t Price;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionLow_Int s_MarketDataUpdateSessionLow_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionLow_Int),
    .Type = MARKET_DATA_UPDATE_SESSION_LOW_INT,
};

/* MARKET_DATA_UPDATE_SESSION_SETTLEMENT with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDataUpdateSessionSettlement_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t Price;
    t_DateTime4Byte DateTime;
};
const struct s_MarketDataUpdateSessionSettlement_Int s_MarketDataUpdateSessionSettlement_Int_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionSettlement_Int),
    .Type = MARKET_DATA_UPDATE_SESSION_SETTLEMENT_INT,
};

/* MARKET_DEPTH_SNAPSHOT_LEVEL with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDepthSnapshotLevel_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum Side;
    int32_t Price;
    int32_t Quantity;
    uint16_t Level;
    uint8_t IsFirstMessageInBatch;
    uint8_t IsLastMessageInBatch;
    t_DateTimeWithMilliseconds DateTime;
    uint32_t NumOrders;
};
const struct s_MarketDepthSnapshotLevel_Int s_MarketDepthSnapshotLevel_Int_default = {
    .Size = sizeof(struct s_MarketDepthSnapshotLevel_Int),
    .Type = MARKET_DEPTH_SNAPSHOT_LEVEL_INT,
};

/* MARKET_DEPTH_UPDATE_LEVEL with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_MarketDepthUpdateLevel_Int
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum Side;
    int32_t Price;
    int32_t Quantity;
    MarketDepthUpdateTypeEnum UpdateType;
    t_DateTimeWithMilliseconds DateTime;
    uint32_t NumOrders;
};
const struct s_MarketDepthUpdateLevel_Int s_MarketDepthUpdateLevel_Int_default = {
    .Size = sizeof(struct s_MarketDepthUpdateLevel_Int),
    .Type = MARKET_DEPTH_UPDATE_LEVEL_INT,
};

/* Restates the last trade: it is not a new one. */
#pragma dtc server compact
struct s_MarketDataUpdateLastTradeSnapshot
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    double LastTradePrice;
    double LastTradeVolume;
    t_DateTimeWithMilliseconds LastTradeDateTime;
};
const struct s_MarketDataUpdateLastTradeSnapshot s_MarketDataUpdateLastTradeSnapshot_default = {
    .Size = sizeof(struct s_MarketDataUpdateLastTradeSnapshot),
    .Type = MARKET_DATA_UPDATE_LAST_TRADE_SNAPSHOT,
};

/* Trades of the trading session. */
#pragma dtc server
struct s_MarketDataUpdateSessionNumTrades
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    int32_t NumTrades;
    t_DateTime4Byte TradingSessionDate;
};
const struct s_MarketDataUpdateSessionNumTrades s_MarketDataUpdateSessionNumTrades_default = {
    .Size = sizeof(struct s_MarketDataUpdateSessionNumTrades),
    .Type = MARKET_DATA_UPDATE_SESSION_NUM_TRADES,
};

/* The trading session that updates now belong to. */
#pragma dtc server
struct s_MarketDataUpdateTradingSessionDate
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    t_DateTime4Byte Date;
};
const struct s_MarketDataUpdateTradingSessionDate s_MarketDataUpdateTradingSessionDate_default = {
    .Size = sizeof(struct s_MarketDataUpdateTradingSessionDate),
    .Type = MARKET_DATA_UPDATE_TRADING_SESSION_DATE,
};

/* A trade, with its place among those that one order caused. */
#pragma dtc server
struct s_MarketDataUpdateTradeWithUnbundledIndicator
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    AtBidOrAskEnum8 AtBidOrAsk;
    UnbundledTradeIndicatorEnum UnbundledTradeIndicator;
    uint8_t TradeCondition;
    uint8_t Reserve_1;
    uint32_t Reserve_2;
    double Price;
    uint32_t Volume;
    uint32_t Reserve_3;
    t_DateTimeWithMilliseconds DateTime;
};
const struct s_MarketDataUpdateTradeWithUnbundledIndicator s_MarketDataUpdateTradeWithUnbundledIndicator_default = {
    .Size = sizeof(struct s_MarketDataUpdateTradeWithUnbundledIndicator),
    .Type = MARKET_DATA_UPDATE_TRADE_WITH_UNBUNDLED_INDICATOR,
    .UnbundledTradeIndicator = UNBUNDLED_TRADE_NONE,
};

/* Whether the symbol is being traded. */
#pragma dtc server
struct s_TradingSymbolStatus
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    TradingStatusEnum Status;
};
const struct s_TradingSymbolStatus s_TradingSymbolStatus_default = {
    .Size = sizeof(struct s_TradingSymbolStatus),
    .Type = TRADING_SYMBOL_STATUS,
};

#pragma pack(pop)

/* Without padding between the fields, from here to MARKET_ORDERS_SNAPSHOT_MESSAGE_BOUNDARY. */
#pragma pack(push, 1)

#pragma dtc server
struct s_MarketDepthUpdateLevelFloatWithMilliseconds
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    t_DateTimeWithMillisecondsInt DateTime;
    float Price;
    float Quantity;
    AtBidOrAskEnum8 Side;
    MarketDepthUpdateTypeEnum UpdateType;
    uint16_t NumOrders;
    FinalUpdateInBatchEnum FinalUpdateInBatch;
    uint16_t Level;
};
const struct s_MarketDepthUpdateLevelFloatWithMilliseconds s_MarketDepthUpdateLevelFloatWithMilliseconds_default = {
    .Size = sizeof(struct s_MarketDepthUpdateLevelFloatWithMilliseconds),
    .Type = MARKET_DEPTH_UPDATE_LEVEL_FLOAT_WITH_MILLISECONDS,
};

/* Side and UpdateType are numbers of AtBidOrAskEnum8 and MarketDepthUpdateTypeEnum. */
#pragma dtc server
struct s_MarketDepthUpdateLevelNoTimestamp
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float Price;
    float Quantity;
    uint16_t NumOrders;
    int8_t Side;
    int8_t UpdateType;
    FinalUpdateInBatchEnum FinalUpdateInBatch;
    uint16_t Level;
};
const struct s_MarketDepthUpdateLevelNoTimestamp s_MarketDepthUpdateLevelNoTimestamp_default = {
    .Size = sizeof(struct s_MarketDepthUpdateLevelNoTimestamp),
    .Type = MARKET_DEPTH_UPDATE_LEVEL_NO_TIMESTAMP,
};

#pragma dtc server
struct s_MarketDataUpdateTradeNoTimestamp
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float Price;
    uint32_t Volume;
    AtBidOrAskEnum8 AtBidOrAsk;
    UnbundledTradeIndicatorEnum UnbundledTradeIndicator;
    TradeConditionEnum TradeCondition;
};
const struct s_MarketDataUpdateTradeNoTimestamp s_MarketDataUpdateTradeNoTimestamp_default = {
    .Size = sizeof(struct s_MarketDataUpdateTradeNoTimestamp),
    .Type = MARKET_DATA_UPDATE_TRADE_NO_TIMESTAMP,
    .UnbundledTradeIndicator = UNBUNDLED_TRADE_NONE,
};

/* The name of the struct spells TimeStamp, the name of the message TIMESTAMP. */
#pragma dtc server
struct s_MarketDataUpdateBidAskNoTimeStamp
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float BidPrice;
    uint32_t BidQuantity;
    float AskPrice;
    uint32_t AskQuantity;
};
const struct s_MarketDataUpdateBidAskNoTimeStamp s_MarketDataUpdateBidAskNoTimeStamp_default = {
    .Size = sizeof(struct s_MarketDataUpdateBidAskNoTimeStamp),
    .Type = MARKET_DATA_UPDATE_BID_ASK_NO_TIMESTAMP,
    .BidPrice = FLT_MAX,
    .AskPrice = FLT_MAX,
};

#pragma dtc server
struct s_MarketDataUpdateBidAskFloatWithMicroseconds
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float BidPrice;
    float BidQuantity;
    float AskPrice;
    float AskQuantity;
    t_DateTimeWithMicrosecondsInt DateTime;
};
const struct s_MarketDataUpdateBidAskFloatWithMicroseconds s_MarketDataUpdateBidAskFloatWithMicroseconds_default = {
    .Size = sizeof(struct s_MarketDataUpdateBidAskFloatWithMicroseconds),
    .Type = MARKET_DATA_UPDATE_BID_ASK_FLOAT_WITH_MICROSECONDS,
    .BidPrice = FLT_MAX,
    .AskPrice = FLT_MAX,
};

/* One level of the book as it is; FinalUpdateInBatch tells where the batch begins and ends. */
#pragma dtc server
struct s_MarketDepthSnapshotLevelFloat
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float Price;
    float Quantity;
    uint32_t NumOrders;
    uint16_t Level;
    AtBidOrAskEnum8 Side;
    FinalUpdateInBatchEnum FinalUpdateInBatch;
};
const struct s_MarketDepthSnapshotLevelFloat s_MarketDepthSnapshotLevelFloat_default = {
    .Size = sizeof(struct s_MarketDepthSnapshotLevelFloat),
    .Type = MARKET_DEPTH_SNAPSHOT_LEVEL_FLOAT,
};

#pragma dtc server
struct s_MarketDataUpdateTradeWithUnbundledIndicator2
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    float Price;
    uint32_t Volume;
    t_DateTimeWithMicrosecondsInt DateTime;
    AtBidOrAskEnum8 AtBidOrAsk;
    UnbundledTradeIndicatorEnum UnbundledTradeIndicator;
    TradeConditionEnum TradeCondition;
};
const struct s_MarketDataUpdateTradeWithUnbundledIndicator2 s_MarketDataUpdateTradeWithUnbundledIndicator2_default = {
    .Size = sizeof(struct s_MarketDataUpdateTradeWithUnbundledIndicator2),
    .Type = MARKET_DATA_UPDATE_TRADE_WITH_UNBUNDLED_INDICATOR_2,
    .UnbundledTradeIndicator = UNBUNDLED_TRADE_NONE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Market orders: the book, order by order
 * ================================================================================================================= */

#pragma pack(push, 1)

#pragma dtc client
struct s_MarketOrdersRequest
{
    uint16_t Size;
    uint16_t Type;
    RequestActionEnum RequestAction;
    uint32_t SymbolID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    int32_t SendQuantitiesGreaterOrEqualTo;
};
const struct s_MarketOrdersRequest s_MarketOrdersRequest_default = {
    .Size = sizeof(struct s_MarketOrdersRequest),
    .Type = MARKET_ORDERS_REQUEST,
    .RequestAction = SUBSCRIBE,
};

#pragma dtc server
struct s_MarketOrdersReject
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_MarketOrdersReject s_MarketOrdersReject_default = {
    .Size = sizeof(struct s_MarketOrdersReject),
    .Type = MARKET_ORDERS_REJECT,
};

#pragma dtc server
struct s_MarketOrdersAdd
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    BuySellEnum Side;
    uint32_t Quantity;
    double Price;
    uint64_t OrderID;
    t_DateTimeWithMicrosecondsInt DateTime;
};
const struct s_MarketOrdersAdd s_MarketOrdersAdd_default = {
    .Size = sizeof(struct s_MarketOrdersAdd),
    .Type = MARKET_ORDERS_ADD,
    .Side = BUY_SELL_UNSET,
};

#pragma dtc server
struct s_MarketOrdersModify
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    BuySellEnum Side;
    uint32_t Quantity;
    double Price;
    uint64_t OrderID;
    double PriorPrice;
    uint32_t PriorQuantity;
    uint64_t PriorOrderID;
    t_DateTimeWithMicrosecondsInt DateTime;
};
const struct s_MarketOrdersModify s_MarketOrdersModify_default = {
    .Size = sizeof(struct s_MarketOrdersModify),
    .Type = MARKET_ORDERS_MODIFY,
    .Side = BUY_SELL_UNSET,
};

#pragma dtc server
struct s_MarketOrdersRemove
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    uint32_t Quantity;
    double Price;
    uint64_t OrderID;
    t_DateTimeWithMicrosecondsInt DateTime;
    BuySellEnum Side;
};
const struct s_MarketOrdersRemove s_MarketOrdersRemove_default = {
    .Size = sizeof(struct s_MarketOrdersRemove),
    .Type = MARKET_ORDERS_REMOVE,
    .Side = BUY_SELL_UNSET,
};

/* Around the orders of a snapshot. */
#pragma dtc server
struct s_MarketOrdersSnapshotMessageBoundary
{
    uint16_t Size;
    uint16_t Type;
    uint32_t SymbolID;
    MessageSetBoundaryEnum MessageBoundary;
};
const struct s_MarketOrdersSnapshotMessageBoundary s_MarketOrdersSnapshotMessageBoundary_default = {
    .Size = sizeof(struct s_MarketOrdersSnapshotMessageBoundary),
    .Type = MARKET_ORDERS_SNAPSHOT_MESSAGE_BOUNDARY,
    .MessageBoundary = MESSAGE_SET_BOUNDARY_UNSET,
};

#pragma pack(pop)

/* =================================================================================================================
 * Order entry
 *
 * Every order is answered by ORDER_UPDATE, also when it is rejected. ClientOrderID is unique per trading session.
 * Price1 is the limit or the stop price; Price2 is the limit price of a stop-limit order. GoodTillDateTime counts
 * with TIF_GOOD_TILL_DATE_TIME only.
 * ================================================================================================================= */

#pragma pack(push, 8)

/* Two orders, of which a fill of one cancels the other. With ParentTriggerClientOrderID they are the children of
 * an order that was sent just before with IsParentOrder = 1. */
#pragma dtc client
struct s_SubmitNewOCOOrder
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char ClientOrderID_1[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType_1;
    BuySellEnum BuySell_1;
    double Price1_1;
    double Price2_1;
    double Quantity_1;
    char ClientOrderID_2[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType_2;
    BuySellEnum BuySell_2;
    double Price1_2;
    double Price2_2;
    double Quantity_2;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    uint8_t IsAutomatedOrder;
    char ParentTriggerClientOrderID[ORDER_ID_LENGTH];
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    OpenCloseTradeEnum OpenOrClose;
    PartialFillHandlingEnum PartialFillHandling;
    uint8_t UseOffsets;
    double OffsetFromParent1;
    double OffsetFromParent2;
    uint8_t MaintainSamePricesOnParentFill;
    char Price1_1AsString[PRICE_STRING_LENGTH];
    char Price2_1AsString[PRICE_STRING_LENGTH];
    char Price1_2AsString[PRICE_STRING_LENGTH];
    char Price2_2AsString[PRICE_STRING_LENGTH];
};
const struct s_SubmitNewOCOOrder s_SubmitNewOCOOrder_default = {
    .Size = sizeof(struct s_SubmitNewOCOOrder),
    .Type = SUBMIT_NEW_OCO_ORDER,
};

/* ServerOrderID names the order; ClientOrderID is repeated from it. */
#pragma dtc client
struct s_CancelOrder
{
    uint16_t Size;
    uint16_t Type;
    char ServerOrderID[ORDER_ID_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_CancelOrder s_CancelOrder_default = {
    .Size = sizeof(struct s_CancelOrder),
    .Type = CANCEL_ORDER,
};

/* Price1IsSet and Price2IsSet say which price changes. Quantity 0: unchanged; else it includes what was filled
 * before. */
#pragma dtc client
struct s_CancelReplaceOrder
{
    uint16_t Size;
    uint16_t Type;
    char ServerOrderID[ORDER_ID_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    double Price1;
    double Price2;
    double Quantity;
    uint8_t Price1IsSet;
    uint8_t Price2IsSet;
    int32_t Unused;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    uint8_t UpdatePrice1OffsetToParent;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char Price1AsString[PRICE_STRING_LENGTH];
    char Price2AsString[PRICE_STRING_LENGTH];
};
const struct s_CancelReplaceOrder s_CancelReplaceOrder_default = {
    .Size = sizeof(struct s_CancelReplaceOrder),
    .Type = CANCEL_REPLACE_ORDER,
    .Price1IsSet = 1,
    .Price2IsSet = 1,
};

/* Prices and quantity are integers, to be divided by Divisor. */
#pragma dtc client legacy
struct s_CancelReplaceOrderInt
{
    uint16_t Size;
    uint16_t Type;
    char ServerOrderID[ORDER_ID_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    int64_t Price1;
    int64_t Price2;
    float Divisor;
    int64_t Quantity;
    uint8_t Price1IsSet;
    uint8_t Price2IsSet;
    int32_t Unused;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    uint8_t UpdatePrice1OffsetToParent;
};
const struct s_CancelReplaceOrderInt s_CancelReplaceOrderInt_default = {
    .Size = sizeof(struct s_CancelReplaceOrderInt),
    .Type = CANCEL_REPLACE_ORDER_INT,
    .Divisor = 1.0f,
    .Price1IsSet = 1,
    .Price2IsSet = 1,
};

/* Prices and quantity are integers, to be divided by Divisor. */
#pragma dtc client legacy
struct s_SubmitNewSingleOrderInt
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType;
    BuySellEnum BuySell;
    int64_t Price1;
    int64_t Price2;
    float Divisor;
    int64_t Quantity;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    uint8_t IsAutomatedOrder;
    uint8_t IsParentOrder;
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    OpenCloseTradeEnum OpenOrClose;
};
const struct s_SubmitNewSingleOrderInt s_SubmitNewSingleOrderInt_default = {
    .Size = sizeof(struct s_SubmitNewSingleOrderInt),
    .Type = SUBMIT_NEW_SINGLE_ORDER_INT,
};

/* Prices and quantities are integers, to be divided by Divisor. */
#pragma dtc client legacy
struct s_SubmitNewOCOOrderInt
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char ClientOrderID_1[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType_1;
    BuySellEnum BuySell_1;
    int64_t Price1_1;
    int64_t Price2_1;
    int64_t Quantity_1;
    char ClientOrderID_2[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType_2;
    BuySellEnum BuySell_2;
    int64_t Price1_2;
    int64_t Price2_2;
    int64_t Quantity_2;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    uint8_t IsAutomatedOrder;
    char ParentTriggerClientOrderID[ORDER_ID_LENGTH];
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    float Divisor;
    OpenCloseTradeEnum OpenOrClose;
    PartialFillHandlingEnum PartialFillHandling;
};
const struct s_SubmitNewOCOOrderInt s_SubmitNewOCOOrderInt_default = {
    .Size = sizeof(struct s_SubmitNewOCOOrderInt),
    .Type = SUBMIT_NEW_OCO_ORDER_INT,
};

/* IsParentOrder = 1 when a SUBMIT_NEW_OCO_ORDER with its children follows at once. */
#pragma dtc client
struct s_SubmitNewSingleOrder
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    OrderTypeEnum OrderType;
    BuySellEnum BuySell;
    double Price1;
    double Price2;
    double Quantity;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    uint8_t IsAutomatedOrder;
    uint8_t IsParentOrder;
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    OpenCloseTradeEnum OpenOrClose;
    double MaxShowQuantity;
    char Price1AsString[PRICE_STRING_LENGTH];
    char Price2AsString[PRICE_STRING_LENGTH];
    double IntendedPositionQuantity;
};
const struct s_SubmitNewSingleOrder s_SubmitNewSingleOrder_default = {
    .Size = sizeof(struct s_SubmitNewSingleOrder),
    .Type = SUBMIT_NEW_SINGLE_ORDER,
};

/* Closes the position in one symbol. */
#pragma dtc client
struct s_SubmitFlattenPositionOrder
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    uint8_t IsAutomatedOrder;
};
const struct s_SubmitFlattenPositionOrder s_SubmitFlattenPositionOrder_default = {
    .Size = sizeof(struct s_SubmitFlattenPositionOrder),
    .Type = SUBMIT_FLATTEN_POSITION_ORDER,
};

/* Closes every position of one account. */
#pragma dtc client
struct s_FlattenPositionsForTradeAccount
{
    uint16_t Size;
    uint16_t Type;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    uint8_t IsAutomatedOrder;
};
const struct s_FlattenPositionsForTradeAccount s_FlattenPositionsForTradeAccount_default = {
    .Size = sizeof(struct s_FlattenPositionsForTradeAccount),
    .Type = FLATTEN_POSITIONS_FOR_TRADE_ACCOUNT,
};

#pragma pack(pop)

/* =================================================================================================================
 * Orders, fills and positions
 *
 * Changes of orders and positions come by themselves, with RequestID 0. An answer of several messages is complete
 * when MessageNumber equals the total.
 * ================================================================================================================= */

#pragma pack(push, 8)

/* Asks for all orders, or for one by its ServerOrderID. */
#pragma dtc client
struct s_OpenOrdersRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    int32_t RequestAllOrders;
    char ServerOrderID[ORDER_ID_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_OpenOrdersRequest s_OpenOrdersRequest_default = {
    .Size = sizeof(struct s_OpenOrdersRequest),
    .Type = OPEN_ORDERS_REQUEST,
    .RequestAllOrders = 1,
};

/* What an order is now. In answer to a request it has reason OPEN_ORDERS_REQUEST_RESPONSE; NoOrders = 1 is the
 * empty answer. The total is TotalNumMessages here, TotalNumberMessages elsewhere. */
#pragma dtc server
struct s_OrderUpdate
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    int32_t TotalNumMessages;
    int32_t MessageNumber;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char PreviousServerOrderID[ORDER_ID_LENGTH];  /* a replace may change ServerOrderID */
    char ServerOrderID[ORDER_ID_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    char ExchangeOrderID[ORDER_ID_LENGTH];
    OrderStatusEnum OrderStatus;
    OrderUpdateReasonEnum OrderUpdateReason;
    OrderTypeEnum OrderType;
    BuySellEnum BuySell;
    double Price1;
    double Price2;
    TimeInForceEnum TimeInForce;
    t_DateTime GoodTillDateTime;
    double OrderQuantity;
    double FilledQuantity;
    double RemainingQuantity;
    double AverageFillPrice;
    double LastFillPrice;
    t_DateTimeWithMillisecondsInt LastFillDateTime;
    double LastFillQuantity;
    char LastFillExecutionID[64];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char InfoText[TEXT_DESCRIPTION_LENGTH];  /* why, for people */
    uint8_t NoOrders;
    char ParentServerOrderID[ORDER_ID_LENGTH];
    char OCOLinkedOrderServerOrderID[ORDER_ID_LENGTH];
    OpenCloseTradeEnum OpenOrClose;
    char PreviousClientOrderID[ORDER_ID_LENGTH];
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
    t_DateTime OrderReceivedDateTime;
    t_DateTimeWithMilliseconds LatestTransactionDateTime;
    char Username[USERNAME_PASSWORD_LENGTH];
};
const struct s_OrderUpdate s_OrderUpdate_default = {
    .Size = sizeof(struct s_OrderUpdate),
    .Type = ORDER_UPDATE,
    .Price1 = DBL_MAX,
    .Price2 = DBL_MAX,
    .OrderQuantity = DBL_MAX,
    .FilledQuantity = DBL_MAX,
    .RemainingQuantity = DBL_MAX,
    .AverageFillPrice = DBL_MAX,
    .LastFillPrice = DBL_MAX,
    .LastFillQuantity = DBL_MAX,
};

#pragma dtc server
struct s_OpenOrdersReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_OpenOrdersReject s_OpenOrdersReject_default = {
    .Size = sizeof(struct s_OpenOrdersReject),
    .Type = OPEN_ORDERS_REJECT,
};

/* NumberOfDays or StartDateTime is required. */
#pragma dtc client
struct s_HistoricalOrderFillsRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char ServerOrderID[ORDER_ID_LENGTH];
    int32_t NumberOfDays;  /* 0: use StartDateTime */
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    t_DateTime StartDateTime;
};
const struct s_HistoricalOrderFillsRequest s_HistoricalOrderFillsRequest_default = {
    .Size = sizeof(struct s_HistoricalOrderFillsRequest),
    .Type = HISTORICAL_ORDER_FILLS_REQUEST,
};

/* One fill. NoOrderFills = 1 is the empty answer. */
#pragma dtc server
struct s_HistoricalOrderFillResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    int32_t TotalNumberMessages;
    int32_t MessageNumber;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char ServerOrderID[ORDER_ID_LENGTH];
    BuySellEnum BuySell;
    double Price;
    t_DateTime DateTime;
    double Quantity;
    char UniqueExecutionID[ORDER_FILL_EXECUTION_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    OpenCloseTradeEnum OpenClose;
    uint8_t NoOrderFills;
    char InfoText[TEXT_DESCRIPTION_LENGTH];
    double HighPriceDuringPosition;
    double LowPriceDuringPosition;
    double PositionQuantity;
    char Username[USERNAME_PASSWORD_LENGTH];
    char ExchangeOrderID[ORDER_ID_LENGTH];
    char SenderSubID[USERNAME_PASSWORD_LENGTH];
};
const struct s_HistoricalOrderFillResponse s_HistoricalOrderFillResponse_default = {
    .Size = sizeof(struct s_HistoricalOrderFillResponse),
    .Type = HISTORICAL_ORDER_FILL_RESPONSE,
    .PositionQuantity = DBL_MAX,
};

#pragma dtc client
struct s_CurrentPositionsRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_CurrentPositionsRequest s_CurrentPositionsRequest_default = {
    .Size = sizeof(struct s_CurrentPositionsRequest),
    .Type = CURRENT_POSITIONS_REQUEST,
};

/* One position; a Quantity below 0 is short. NoPositions = 1 is the empty answer. */
#pragma dtc server
struct s_PositionUpdate
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    int32_t TotalNumberMessages;
    int32_t MessageNumber;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    double Quantity;
    double AveragePrice;
    char PositionIdentifier[ORDER_ID_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    uint8_t NoPositions;
    uint8_t Unsolicited;
    double MarginRequirement;
    t_DateTime4Byte EntryDateTime;
    double OpenProfitLoss;
    double HighPriceDuringPosition;
    double LowPriceDuringPosition;
    double QuantityLimit;
    double MaxPotentialPostionQuantity;  /* the protocol spells it so */
};
const struct s_PositionUpdate s_PositionUpdate_default = {
    .Size = sizeof(struct s_PositionUpdate),
    .Type = POSITION_UPDATE,
};

#pragma dtc server
struct s_CurrentPositionsReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_CurrentPositionsReject s_CurrentPositionsReject_default = {
    .Size = sizeof(struct s_CurrentPositionsReject),
    .Type = CURRENT_POSITIONS_REJECT,
};

#pragma dtc server
struct s_HistoricalOrderFillsReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_HistoricalOrderFillsReject s_HistoricalOrderFillsReject_default = {
    .Size = sizeof(struct s_HistoricalOrderFillsReject),
    .Type = HISTORICAL_ORDER_FILLS_REJECT,
};

#pragma dtc client
struct s_AddCorrectingOrderFill
{
    uint16_t Size;
    uint16_t Type;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    char ClientOrderID[ORDER_ID_LENGTH];
    BuySellEnum BuySell;
    double FillPrice;
    double FillQuantity;
    char FreeFormText[ORDER_FREE_FORM_TEXT_LENGTH];
};
const struct s_AddCorrectingOrderFill s_AddCorrectingOrderFill_default = {
    .Size = sizeof(struct s_AddCorrectingOrderFill),
    .Type = ADD_CORRECTING_ORDER_FILL,
};

#pragma dtc server
struct s_CorrectingOrderFillResponse
{
    uint16_t Size;
    uint16_t Type;
    char ClientOrderID[ORDER_ID_LENGTH];
    char ResultText[TEXT_MESSAGE_LENGTH];
    uint8_t IsError;
};
const struct s_CorrectingOrderFillResponse s_CorrectingOrderFillResponse_default = {
    .Size = sizeof(struct s_CorrectingOrderFillResponse),
    .Type = CORRECTING_ORDER_FILL_RESPONSE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Trade accounts
 * ================================================================================================================= */

#pragma pack(push, 8)

#pragma dtc client
struct s_TradeAccountsRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
};
const struct s_TradeAccountsRequest s_TradeAccountsRequest_default = {
    .Size = sizeof(struct s_TradeAccountsRequest),
    .Type = TRADE_ACCOUNTS_REQUEST,
};

/* One account. */
#pragma dtc server
struct s_TradeAccountResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t TotalNumberMessages;
    int32_t MessageNumber;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    int32_t RequestID;
    uint8_t TradingIsDisabled;
};
const struct s_TradeAccountResponse s_TradeAccountResponse_default = {
    .Size = sizeof(struct s_TradeAccountResponse),
    .Type = TRADE_ACCOUNT_RESPONSE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Exchanges, symbols and security definitions
 *
 * Requests 502 to 508 are answered by SECURITY_DEFINITION_RESPONSE, the last with IsFinalMessage = 1, which is
 * also the empty answer: then Symbol is empty. Sierra Chart does not use Exchange: the symbol is its own name for
 * it.
 * ================================================================================================================= */

#pragma pack(push, 8)

#pragma dtc client
struct s_ExchangeListRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
};
const struct s_ExchangeListRequest s_ExchangeListRequest_default = {
    .Size = sizeof(struct s_ExchangeListRequest),
    .Type = EXCHANGE_LIST_REQUEST,
};

/* One exchange, the last with IsFinalMessage = 1; an empty Exchange is the empty answer. */
#pragma dtc server
struct s_ExchangeListResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Exchange[EXCHANGE_LENGTH];
    uint8_t IsFinalMessage;
    char Description[EXCHANGE_DESCRIPTION_LENGTH];
};
const struct s_ExchangeListResponse s_ExchangeListResponse_default = {
    .Size = sizeof(struct s_ExchangeListResponse),
    .Type = EXCHANGE_LIST_RESPONSE,
};

#pragma dtc client
struct s_SymbolsForExchangeRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Exchange[EXCHANGE_LENGTH];
    SecurityTypeEnum SecurityType;
    RequestActionEnum RequestAction;
    char Symbol[SYMBOL_LENGTH];
};
const struct s_SymbolsForExchangeRequest s_SymbolsForExchangeRequest_default = {
    .Size = sizeof(struct s_SymbolsForExchangeRequest),
    .Type = SYMBOLS_FOR_EXCHANGE_REQUEST,
    .RequestAction = SUBSCRIBE,
};

#pragma dtc client
struct s_UnderlyingSymbolsForExchangeRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Exchange[EXCHANGE_LENGTH];
    SecurityTypeEnum SecurityType;
};
const struct s_UnderlyingSymbolsForExchangeRequest s_UnderlyingSymbolsForExchangeRequest_default = {
    .Size = sizeof(struct s_UnderlyingSymbolsForExchangeRequest),
    .Type = UNDERLYING_SYMBOLS_FOR_EXCHANGE_REQUEST,
};

#pragma dtc client
struct s_SymbolsForUnderlyingRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char UnderlyingSymbol[UNDERLYING_SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    SecurityTypeEnum SecurityType;
};
const struct s_SymbolsForUnderlyingRequest s_SymbolsForUnderlyingRequest_default = {
    .Size = sizeof(struct s_SymbolsForUnderlyingRequest),
    .Type = SYMBOLS_FOR_UNDERLYING_REQUEST,
};

#pragma dtc client
struct s_SecurityDefinitionForSymbolRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
};
const struct s_SecurityDefinitionForSymbolRequest s_SecurityDefinitionForSymbolRequest_default = {
    .Size = sizeof(struct s_SecurityDefinitionForSymbolRequest),
    .Type = SECURITY_DEFINITION_FOR_SYMBOL_REQUEST,
};

/* FloatToIntPriceMultiplier and IntToFloatPriceDivisor matter to the legacy integer messages only. */
#pragma dtc server
struct s_SecurityDefinitionResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    SecurityTypeEnum SecurityType;
    char Description[SYMBOL_DESCRIPTION_LENGTH];
    float MinPriceIncrement;  /* the tick, as a display price */
    PriceDisplayFormatEnum PriceDisplayFormat;
    float CurrencyValuePerIncrement;
    uint8_t IsFinalMessage;
    float FloatToIntPriceMultiplier;
    float IntToFloatPriceDivisor;
    char UnderlyingSymbol[UNDERLYING_SYMBOL_LENGTH];
    uint8_t UpdatesBidAskOnly;
    float StrikePrice;
    PutCallEnum PutOrCall;
    uint32_t ShortInterest;
    t_DateTime4Byte SecurityExpirationDate;
    float BuyRolloverInterest;
    float SellRolloverInterest;
    float EarningsPerShare;
    uint32_t SharesOutstanding;
    float IntToFloatQuantityDivisor;
    uint8_t HasMarketDepthData;
    float DisplayPriceMultiplier;
    char ExchangeSymbol[SYMBOL_LENGTH];
    float InitialMarginRequirement;
    float MaintenanceMarginRequirement;
    char Currency[CURRENCY_CODE_LENGTH];
    float ContractSize;
    uint32_t OpenInterest;
    t_DateTime4Byte RolloverDate;
    uint8_t IsDelayed;
    int64_t SecurityIdentifier;
    char ProductIdentifier[GENERAL_IDENTIFIER_LENGTH];
};
const struct s_SecurityDefinitionResponse s_SecurityDefinitionResponse_default = {
    .Size = sizeof(struct s_SecurityDefinitionResponse),
    .Type = SECURITY_DEFINITION_RESPONSE,
    .PriceDisplayFormat = PRICE_DISPLAY_FORMAT_UNSET,
    .FloatToIntPriceMultiplier = 1.0,
    .IntToFloatPriceDivisor = 1.0,
    .PutOrCall = PC_UNSET,
    .HasMarketDepthData = 1,
    .DisplayPriceMultiplier = 1.0,
};

/* SearchText must not be empty. */
#pragma dtc client
struct s_SymbolSearchRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char SearchText[SYMBOL_DESCRIPTION_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    SecurityTypeEnum SecurityType;
    SearchTypeEnum SearchType;
};
const struct s_SymbolSearchRequest s_SymbolSearchRequest_default = {
    .Size = sizeof(struct s_SymbolSearchRequest),
    .Type = SYMBOL_SEARCH_REQUEST,
};

#pragma dtc server
struct s_SecurityDefinitionReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_SecurityDefinitionReject s_SecurityDefinitionReject_default = {
    .Size = sizeof(struct s_SecurityDefinitionReject),
    .Type = SECURITY_DEFINITION_REJECT,
};

#pragma pack(pop)

/* =================================================================================================================
 * Account balances
 * ================================================================================================================= */

#pragma pack(push, 8)

/* NoAccountBalances = 1 is the empty answer. Also sent unasked when a balance changes. */
#pragma dtc server
struct s_AccountBalanceUpdate
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    double CashBalance;
    double BalanceAvailableForNewPositions;
    char AccountCurrency[8];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    double SecuritiesValue;
    double MarginRequirement;
    int32_t TotalNumberMessages;
    int32_t MessageNumber;
    uint8_t NoAccountBalances;
    uint8_t Unsolicited;
    double OpenPositionsProfitLoss;
    double DailyProfitLoss;
    char InfoText[TEXT_DESCRIPTION_LENGTH];
    uint64_t TransactionIdentifier;
    double DailyNetLossLimit;
    double TrailingAccountValueToLimitPositions;
    uint8_t DailyNetLossLimitReached;
    uint8_t IsUnderRequiredMargin;
    uint8_t ClosePositionsAtEndOfDay;
    uint8_t TradingIsDisabled;
    char Description[TEXT_DESCRIPTION_LENGTH];
    uint8_t IsUnderRequiredAccountValue;
    t_DateTimeWithMicrosecondsInt TransactionDateTime;
    double MarginRequirementFull;
    double MarginRequirementFullPositionsOnly;
    double PeakMarginRequirement;
    char IntroducingBroker[TRADE_ACCOUNT_LENGTH];
    double OpenPositionsProfitLossBasedOnSettlementPrice;
    t_DateTimeWithMicrosecondsInt LastOrderActivityDateTime;
};
const struct s_AccountBalanceUpdate s_AccountBalanceUpdate_default = {
    .Size = sizeof(struct s_AccountBalanceUpdate),
    .Type = ACCOUNT_BALANCE_UPDATE,
};

#pragma dtc client
struct s_AccountBalanceRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_AccountBalanceRequest s_AccountBalanceRequest_default = {
    .Size = sizeof(struct s_AccountBalanceRequest),
    .Type = ACCOUNT_BALANCE_REQUEST,
};

#pragma dtc server
struct s_AccountBalanceReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_AccountBalanceReject s_AccountBalanceReject_default = {
    .Size = sizeof(struct s_AccountBalanceReject),
    .Type = ACCOUNT_BALANCE_REJECT,
};

#pragma dtc client
struct s_HistoricalAccountBalancesRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    t_DateTime StartDateTime;
};
const struct s_HistoricalAccountBalancesRequest s_HistoricalAccountBalancesRequest_default = {
    .Size = sizeof(struct s_HistoricalAccountBalancesRequest),
    .Type = HISTORICAL_ACCOUNT_BALANCES_REQUEST,
};

#pragma dtc server
struct s_HistoricalAccountBalancesReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_HistoricalAccountBalancesReject s_HistoricalAccountBalancesReject_default = {
    .Size = sizeof(struct s_HistoricalAccountBalancesReject),
    .Type = HISTORICAL_ACCOUNT_BALANCES_REJECT,
};

/* The last has IsFinalResponse = 1. NoAccountBalances = 1 is the empty answer. */
#pragma dtc server
struct s_HistoricalAccountBalanceResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMilliseconds DateTime;
    double CashBalance;
    char AccountCurrency[8];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    uint8_t IsFinalResponse;
    uint8_t NoAccountBalances;
    char InfoText[TEXT_DESCRIPTION_LENGTH];
    char TransactionId[GENERAL_IDENTIFIER_LENGTH];
};
const struct s_HistoricalAccountBalanceResponse s_HistoricalAccountBalanceResponse_default = {
    .Size = sizeof(struct s_HistoricalAccountBalanceResponse),
    .Type = HISTORICAL_ACCOUNT_BALANCE_RESPONSE,
};

#pragma dtc client
struct s_AccountBalanceAdjustment
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    double CreditAmount;
    double DebitAmount;
    char Currency[CURRENCY_CODE_LENGTH];
    char Reason[TEXT_DESCRIPTION_LENGTH];
    uint8_t RecalculateDailyLossLimit;
};
const struct s_AccountBalanceAdjustment s_AccountBalanceAdjustment_default = {
    .Size = sizeof(struct s_AccountBalanceAdjustment),
    .Type = ACCOUNT_BALANCE_ADJUSTMENT,
};

#pragma dtc server
struct s_AccountBalanceAdjustmentReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_AccountBalanceAdjustmentReject s_AccountBalanceAdjustmentReject_default = {
    .Size = sizeof(struct s_AccountBalanceAdjustmentReject),
    .Type = ACCOUNT_BALANCE_ADJUSTMENT_REJECT,
};

#pragma dtc server
struct s_AccountBalanceAdjustmentComplete
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    int64_t TransactionID;
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    double NewBalance;
};
const struct s_AccountBalanceAdjustmentComplete s_AccountBalanceAdjustmentComplete_default = {
    .Size = sizeof(struct s_AccountBalanceAdjustmentComplete),
    .Type = ACCOUNT_BALANCE_ADJUSTMENT_COMPLETE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Messages for people, and the journal
 * ================================================================================================================= */

#pragma pack(push, 8)

/* For the user of the client to see. */
#pragma dtc server
struct s_UserMessage
{
    uint16_t Size;
    uint16_t Type;
    char UserMessage[TEXT_MESSAGE_LENGTH];
    uint8_t IsPopupMessage;
};
const struct s_UserMessage s_UserMessage_default = {
    .Size = sizeof(struct s_UserMessage),
    .Type = USER_MESSAGE,
    .IsPopupMessage = 1,
};

/* For the log of the client. */
#pragma dtc server
struct s_GeneralLogMessage
{
    uint16_t Size;
    uint16_t Type;
    char MessageText[128];
};
const struct s_GeneralLogMessage s_GeneralLogMessage_default = {
    .Size = sizeof(struct s_GeneralLogMessage),
    .Type = GENERAL_LOG_MESSAGE,
};

#pragma dtc server
struct s_AlertMessage
{
    uint16_t Size;
    uint16_t Type;
    char MessageText[128];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
};
const struct s_AlertMessage s_AlertMessage_default = {
    .Size = sizeof(struct s_AlertMessage),
    .Type = ALERT_MESSAGE,
};

#pragma dtc client
struct s_JournalEntryAdd
{
    uint16_t Size;
    uint16_t Type;
    char JournalEntry[TEXT_MESSAGE_LENGTH];
    t_DateTime DateTime;
};
const struct s_JournalEntryAdd s_JournalEntryAdd_default = {
    .Size = sizeof(struct s_JournalEntryAdd),
    .Type = JOURNAL_ENTRY_ADD,
};

#pragma dtc client
struct s_JournalEntriesRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTime StartDateTime;
};
const struct s_JournalEntriesRequest s_JournalEntriesRequest_default = {
    .Size = sizeof(struct s_JournalEntriesRequest),
    .Type = JOURNAL_ENTRIES_REQUEST,
};

#pragma dtc server
struct s_JournalEntriesReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_JournalEntriesReject s_JournalEntriesReject_default = {
    .Size = sizeof(struct s_JournalEntriesReject),
    .Type = JOURNAL_ENTRIES_REJECT,
};

/* Carries no RequestID. The last has IsFinalResponse = 1. */
#pragma dtc server
struct s_JournalEntryResponse
{
    uint16_t Size;
    uint16_t Type;
    char JournalEntry[TEXT_MESSAGE_LENGTH];
    t_DateTime DateTime;
    uint8_t IsFinalResponse;
};
const struct s_JournalEntryResponse s_JournalEntryResponse_default = {
    .Size = sizeof(struct s_JournalEntryResponse),
    .Type = JOURNAL_ENTRY_RESPONSE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Historical prices
 *
 * Asked for on a connection of its own: one request, then read to the end. The answer is a header, then records,
 * the oldest first; the last one has IsFinalRecord = 1 and may be empty, or a trailer follows.
 * ================================================================================================================= */

#pragma pack(push, 8)

/* EndDateTime is ignored from one day a record up. MaxDaysToReturn counts back from the end. UseZLibCompression
 * is for binary encodings only. */
#pragma dtc client
struct s_HistoricalPriceDataRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    HistoricalDataIntervalEnum RecordInterval;  /* seconds */
    t_DateTime StartDateTime;
    t_DateTime EndDateTime;
    uint32_t MaxDaysToReturn;
    uint8_t UseZLibCompression;
    uint8_t RequestDividendAdjustedStockData;
    uint16_t Integer_1;
    uint8_t UseZLibNGCompression;
};
const struct s_HistoricalPriceDataRequest s_HistoricalPriceDataRequest_default = {
    .Size = sizeof(struct s_HistoricalPriceDataRequest),
    .Type = HISTORICAL_PRICE_DATA_REQUEST,
};

/* NoRecordsToReturn = 1 is the empty answer: no record follows. */
#pragma dtc server
struct s_HistoricalPriceDataResponseHeader
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    HistoricalDataIntervalEnum RecordInterval;
    uint8_t UseZLibCompression;
    uint8_t NoRecordsToReturn;
    float IntToFloatPriceDivisor;
    uint8_t UseZLibNGCompression;
};
const struct s_HistoricalPriceDataResponseHeader s_HistoricalPriceDataResponseHeader_default = {
    .Size = sizeof(struct s_HistoricalPriceDataResponseHeader),
    .Type = HISTORICAL_PRICE_DATA_RESPONSE_HEADER,
};

#pragma dtc server
struct s_HistoricalPriceDataReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
    HistoricalPriceDataRejectReasonCodeEnum RejectReasonCode;
    uint16_t RetryTimeInSeconds;  /* with HPDR_UNABLE_TO_SERVE_DATA_RETRY_IN_SPECIFIED_SECONDS */
};
const struct s_HistoricalPriceDataReject s_HistoricalPriceDataReject_default = {
    .Size = sizeof(struct s_HistoricalPriceDataReject),
    .Type = HISTORICAL_PRICE_DATA_REJECT,
};

/* One bar. The union is one value in JSON as well. Servers have sent StartDateTime in seconds, too: its
 * magnitude tells. Sierra Chart sends a single trade as a bar with OpenPrice 0, the ask as HighPrice, the bid as
 * LowPrice and NumTrades 1. */
#pragma dtc server compact
struct s_HistoricalPriceDataRecordResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMicrosecondsInt StartDateTime;
    double OpenPrice;
    double HighPrice;
    double LowPrice;
    double LastPrice;
    double Volume;
    union
    {
        uint32_t OpenInterest;
        uint32_t NumTrades;
    } OpenInterestOrNumTrades;
    double BidVolume;
    double AskVolume;
    uint8_t IsFinalRecord;
};
const struct s_HistoricalPriceDataRecordResponse s_HistoricalPriceDataRecordResponse_default = {
    .Size = sizeof(struct s_HistoricalPriceDataRecordResponse),
    .Type = HISTORICAL_PRICE_DATA_RECORD_RESPONSE,
};

/* One trade. */
#pragma dtc server compact
struct s_HistoricalPriceDataTickRecordResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMilliseconds DateTime;
    AtBidOrAskEnum AtBidOrAsk;
    double Price;
    double Volume;
    uint8_t IsFinalRecord;
};
const struct s_HistoricalPriceDataTickRecordResponse s_HistoricalPriceDataTickRecordResponse_default = {
    .Size = sizeof(struct s_HistoricalPriceDataTickRecordResponse),
    .Type = HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE,
    .AtBidOrAsk = BID_ASK_UNSET,
};

/* HISTORICAL_PRICE_DATA_RECORD_RESPONSE with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_HistoricalPriceDataRecordResponse_Int
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTime StartDateTime;
    int32_t OpenPrice;
    int32_t HighPrice;
    int32_t LowPrice;
    int32_t LastPrice;
    int32_t Volume;
    union
    {
        uint32_t OpenInterest;
        uint32_t NumTrades;
    } OpenInterestOrNumTrades;
    int32_t BidVolume;
    int32_t AskVolume;
    uint8_t IsFinalRecord;
};
const struct s_HistoricalPriceDataRecordResponse_Int s_HistoricalPriceDataRecordResponse_Int_default = {
    .Size = sizeof(struct s_HistoricalPriceDataRecordResponse_Int),
    .Type = HISTORICAL_PRICE_DATA_RECORD_RESPONSE_INT,
};

/* HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE with integers for prices and quantities. */
#pragma dtc server compact legacy
struct s_HistoricalPriceDataTickRecordResponse_Int
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMilliseconds DateTime;
    int32_t Price;
    int32_t Volume;
    AtBidOrAskEnum AtBidOrAsk;
    uint8_t IsFinalRecord;
};
const struct s_HistoricalPriceDataTickRecordResponse_Int s_HistoricalPriceDataTickRecordResponse_Int_default = {
    .Size = sizeof(struct s_HistoricalPriceDataTickRecordResponse_Int),
    .Type = HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE_INT,
};

/* After the last record. */
#pragma dtc server
struct s_HistoricalPriceDataResponseTrailer
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMicrosecondsInt FinalRecordLastDateTime;
};
const struct s_HistoricalPriceDataResponseTrailer s_HistoricalPriceDataResponseTrailer_default = {
    .Size = sizeof(struct s_HistoricalPriceDataResponseTrailer),
    .Type = HISTORICAL_PRICE_DATA_RESPONSE_TRAILER,
};

#pragma pack(pop)

/* =================================================================================================================
 * Historical market depth
 * ================================================================================================================= */

#pragma pack(push, 8)

#pragma dtc client
struct s_HistoricalMarketDepthDataRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Symbol[SYMBOL_LENGTH];
    char Exchange[EXCHANGE_LENGTH];
    t_DateTimeWithMicrosecondsInt StartDateTime;
    t_DateTimeWithMicrosecondsInt EndDateTime;
    uint8_t UseZLibCompression;
    uint8_t Integer_1;
    uint8_t UseZLibNGCompression;
};
const struct s_HistoricalMarketDepthDataRequest s_HistoricalMarketDepthDataRequest_default = {
    .Size = sizeof(struct s_HistoricalMarketDepthDataRequest),
    .Type = HISTORICAL_MARKET_DEPTH_DATA_REQUEST,
};

#pragma dtc server
struct s_HistoricalMarketDepthDataResponseHeader
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    uint8_t UseZLibCompression;
    uint8_t NoRecordsToReturn;
    uint8_t UseZLibNGCompression;
};
const struct s_HistoricalMarketDepthDataResponseHeader s_HistoricalMarketDepthDataResponseHeader_default = {
    .Size = sizeof(struct s_HistoricalMarketDepthDataResponseHeader),
    .Type = HISTORICAL_MARKET_DEPTH_DATA_RESPONSE_HEADER,
};

#pragma dtc server
struct s_HistoricalMarketDepthDataReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
    HistoricalPriceDataRejectReasonCodeEnum RejectReasonCode;
};
const struct s_HistoricalMarketDepthDataReject s_HistoricalMarketDepthDataReject_default = {
    .Size = sizeof(struct s_HistoricalMarketDepthDataReject),
    .Type = HISTORICAL_MARKET_DEPTH_DATA_REJECT,
    .RejectReasonCode = HPDR_UNSET,
};

/* One change of the book. */
#pragma dtc server
struct s_HistoricalMarketDepthDataRecordResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    t_DateTimeWithMicrosecondsInt StartDateTime;
    uint8_t Command;
    uint8_t Flags;
    uint16_t NumOrders;
    float Price;
    uint32_t Quantity;
    uint8_t IsFinalRecord;
};
const struct s_HistoricalMarketDepthDataRecordResponse s_HistoricalMarketDepthDataRecordResponse_default = {
    .Size = sizeof(struct s_HistoricalMarketDepthDataRecordResponse),
    .Type = HISTORICAL_MARKET_DEPTH_DATA_RECORD_RESPONSE,
};

#pragma pack(pop)

/* =================================================================================================================
 * Historical trades
 *
 * Sierra Chart's own: not part of the DTC specification.
 * ================================================================================================================= */

#pragma pack(push, 8)

#pragma dtc client nonstandard
struct s_HistoricalTradesRequest
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char Symbol[SYMBOL_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    t_DateTime StartDateTime;
    uint32_t SubAccountIdentifier;
    uint8_t CreateFlatToFlatTrades;
};
const struct s_HistoricalTradesRequest s_HistoricalTradesRequest_default = {
    .Size = sizeof(struct s_HistoricalTradesRequest),
    .Type = HISTORICAL_TRADES_REQUEST,
};

#pragma dtc server nonstandard
struct s_HistoricalTradesReject
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    char RejectText[TEXT_DESCRIPTION_LENGTH];
};
const struct s_HistoricalTradesReject s_HistoricalTradesReject_default = {
    .Size = sizeof(struct s_HistoricalTradesReject),
    .Type = HISTORICAL_TRADES_REJECT,
};

/* One trade from flat to flat, or fill to fill. The last has IsFinalMessage = 1. */
#pragma dtc server nonstandard
struct s_HistoricalTradesResponse
{
    uint16_t Size;
    uint16_t Type;
    int32_t RequestID;
    uint8_t IsFinalMessage;
    char Symbol[SYMBOL_LENGTH];
    char TradeAccount[TRADE_ACCOUNT_LENGTH];
    t_DateTimeWithMilliseconds EntryDateTime;
    t_DateTimeWithMilliseconds ExitDateTime;
    double EntryPrice;
    double ExitPrice;
    BuySellEnum TradeType;
    uint32_t EntryQuantity;
    uint32_t ExitQuantity;
    uint32_t MaxOpenQuantity;
    double ClosedProfitLoss;
    double MaximumOpenPositionLoss;
    double MaximumOpenPositionProfit;
    double Commission;
    char OpenFillExecutionID[ORDER_FILL_EXECUTION_LENGTH];
    char CloseFillExecutionID[ORDER_FILL_EXECUTION_LENGTH];
    uint32_t SubAccountIdentifier;
};
const struct s_HistoricalTradesResponse s_HistoricalTradesResponse_default = {
    .Size = sizeof(struct s_HistoricalTradesResponse),
    .Type = HISTORICAL_TRADES_RESPONSE,
};

#pragma pack(pop)
