// Keep the latest values of each watched symbol, from the channel marketdata.

import { instrumentOf } from "./instruments.js";

const MAX_RATE = 10; // quotes a second and symbol; trades are always sent at once

const TRADES = new Set([107, 112, 126, 137, 142, 146]);
const QUOTES = new Set([108, 117, 127, 143, 144]);
const FIELDS = {
    113: ["Volume", "volume"],
    114: ["Price", "high"],
    115: ["Price", "low"],
    119: ["Price", "settlement"],
    120: ["Price", "open"],
};
const SNAPSHOT = {
    LastTradePrice: "last",
    LastTradeVolume: "lastSize",
    BidPrice: "bid",
    BidQuantity: "bidSize",
    AskPrice: "ask",
    AskQuantity: "askSize",
    SessionVolume: "volume",
    SessionHighPrice: "high",
    SessionLowPrice: "low",
    SessionOpenPrice: "open",
    SessionSettlementPrice: "settlement",
};

/** The latest values of one symbol. Prices are display prices. */
export class Quote {
    updatedAt = 0; // performance.now() of the last message
    stale = "no data yet"; // why the values may be out of date; empty while they are live
    error = ""; // why the server does not serve the symbol
    instrument = null;

    constructor(symbol) {
        this.symbol = symbol;
    }

    /** The change since the last settlement, or since the open if there is none. */
    get change() {
        const from = this.settlement || this.open;
        return this.last === undefined || !from ? undefined : this.last - from;
    }

    get changePercent() {
        const from = this.settlement || this.open;
        return this.change === undefined ? undefined : (100 * this.change) / from;
    }

    apply(message) {
        if (message.Type === 104) {
            for (const [field, name] of Object.entries(SNAPSHOT)) if (field in message) this[name] = message[field];
        } else if (TRADES.has(message.Type)) {
            this.last = message.Price;
            this.lastSize = message.Volume;
            if (this.volume !== undefined) this.volume += message.Volume;
        } else if (QUOTES.has(message.Type)) {
            for (const field of ["BidPrice", "BidQuantity", "AskPrice", "AskQuantity"]) this[SNAPSHOT[field]] = message[field];
        } else if (message.Type in FIELDS) {
            const [field, name] = FIELDS[message.Type];
            this[name] = message[field];
        }
    }
}

export class Market {
    #stream;
    #watched = new Map(); // symbol -> {quote, listeners, cancel}

    constructor(stream) {
        this.#stream = stream;
    }

    /** Return the Quote of a symbol if it is watched. */
    quote(symbol) {
        return this.#watched.get(symbol)?.quote;
    }

    /** Call the listener with the Quote of a symbol at each change. Return a function that ends this. */
    watch(symbol, listener) {
        let watched = this.#watched.get(symbol);
        if (watched === undefined) {
            watched = { quote: new Quote(symbol), listeners: new Set() };
            this.#watched.set(symbol, watched);
            const options = { prices: "display", max_rate: MAX_RATE };
            watched.cancel = this.#stream.subscribe("marketdata", symbol, options, (message) => this.#receive(watched, message));
            this.#loadInstrument(watched);
        }
        watched.listeners.add(listener);
        listener(watched.quote);
        return () => {
            watched.listeners.delete(listener);
            if (watched.listeners.size || this.#watched.get(symbol) !== watched) return;
            this.#watched.delete(symbol);
            watched.cancel();
        };
    }

    #loadInstrument(watched) {
        instrumentOf(watched.quote.symbol).then(
            (instrument) => {
                watched.quote.instrument = instrument;
                this.#notify(watched);
            },
            () => {}, // the next message asks again
        );
    }

    #receive(watched, message) {
        const { quote } = watched;
        if (message.event === "stale") {
            quote.stale = message.reason || "updates have stopped";
        } else if (message.event === "ended") {
            quote.error = quote.stale = message.error;
        } else {
            quote.stale = quote.error = "";
            if (message.event === undefined) {
                quote.updatedAt = performance.now();
                quote.apply(message);
            }
            if (quote.instrument === null && message.Type === 104) this.#loadInstrument(watched);
        }
        this.#notify(watched);
    }

    #notify(watched) {
        for (const listener of [...watched.listeners]) listener(watched.quote);
    }
}
