// Name the values of orders, and write orders as text.

export const STATUSES = {
    1: "sent",
    2: "pending",
    3: "waits for parent",
    4: "open",
    5: "being changed",
    6: "being canceled",
    7: "filled",
    8: "canceled",
    9: "rejected",
    10: "partly filled",
};
export const ORDER_TYPES = {
    MARKET: { number: 1, title: "Market", prices: 0 },
    LIMIT: { number: 2, title: "Limit", prices: 1 },
    STOP: { number: 3, title: "Stop", prices: 1 },
    STOP_LIMIT: { number: 4, title: "Stop limit", prices: 2 },
    MARKET_IF_TOUCHED: { number: 5, title: "Market if touched", prices: 1 },
    LIMIT_IF_TOUCHED: { number: 6, title: "Limit if touched", prices: 1 },
    MARKET_LIMIT: { number: 7, title: "Market limit", prices: 0 },
};
export const TIMES_IN_FORCE = {
    DAY: { number: 1, title: "Day" },
    GOOD_TILL_CANCELED: { number: 2, title: "GTC" },
    GOOD_TILL_DATE_TIME: { number: 3, title: "GTD" },
    IMMEDIATE_OR_CANCEL: { number: 4, title: "IOC" },
    ALL_OR_NONE: { number: 5, title: "AON" },
    FILL_OR_KILL: { number: 6, title: "FOK" },
};
export const BUY = 1;
export const REJECTED = 9; // OrderStatus
const OVER = new Set([7, 8, REJECTED]);
const TYPE_TITLES = titles(ORDER_TYPES);
const TIME_TITLES = titles(TIMES_IN_FORCE);

function titles(table) {
    return Object.fromEntries(Object.values(table).map(({ number, title }) => [number, title]));
}

export const typeTitle = (order) => TYPE_TITLES[order.OrderType] ?? `type ${order.OrderType ?? "unknown"}`;
export const timeTitle = (order) => TIME_TITLES[order.TimeInForce] ?? "";
export const sideTitle = (order) => ({ 1: "Buy", 2: "Sell" })[order.BuySell] ?? "";

/** Return whether an order may be open. An order in doubt counts as open. */
export const isOpen = (order) => !OVER.has(order.OrderStatus);

export const statusTitle = (order) => (order.OutcomeUnknown ? "in doubt" : STATUSES[order.OrderStatus] ?? `status ${order.OrderStatus}`);

/** Return the id that order commands take. */
export const idOf = (order) => order.ClientOrderID || order.ServerOrderID || "";

export const remaining = (order) => order.RemainingQuantity ?? (order.OrderQuantity ?? 0) - (order.FilledQuantity ?? 0);

/** Return what the user should do about an order; empty if nothing. */
export function advice(order) {
    if (order.OutcomeUnknown)
        return order.AcknowledgedBy
            ? `Not known what became of it; acknowledged by ${order.AcknowledgedBy}.`
            : "Not known what became of it: the account takes no new orders. The gateway asks the server. If that does not help, check at the server, then acknowledge.";
    if (order.OrderStatus === REJECTED) return order.InfoText || "The server rejected it and gave no reason. Correct it and send it again.";
    return order.InfoText ?? "";
}
