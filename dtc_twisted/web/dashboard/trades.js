// Pass on the trades of the selected symbol, from the channel trades, to the chart and to time and sales.

import { log } from "./log.js";

export class Trades {
    #listeners = new Set();
    #symbol = "";
    #cancel = () => {};
    #stale = "";

    constructor(stream, selected) {
        selected.observe((symbol) => {
            this.#cancel();
            this.#cancel = () => {};
            this.#symbol = symbol;
            this.#stale = "";
            if (symbol) this.#cancel = stream.subscribe("trades", symbol, { prices: "display" }, (message) => this.#receive(message));
        });
    }

    /**
     * Call the listener with each trade, {Price, Volume, DateTime, AtBidOrAsk}.
     * onGap: called where trades are missing, with their number; null if it is not known.
     */
    observe(listener, onGap = () => {}) {
        this.#listeners.add({ listener, onGap });
    }

    #receive(message) {
        if (message.event === "stale" || message.event === "ended") {
            this.#stale = message.reason || message.error;
            return;
        }
        if (message.event === "gap") this.#skip(message.missed);
        else if (this.#stale) {
            // Events that were missed follow: a server that was away meanwhile is one of them.
            this.#stale = "";
            if (!message.resumed && message.missed !== 0) this.#skip(message.missed ?? null);
        }
        if (message.event !== undefined || message.Price === undefined) return;
        const { Price, Volume, DateTime = Date.now() / 1000, AtBidOrAsk } = message;
        for (const { listener } of this.#listeners) listener({ Price, Volume, DateTime, AtBidOrAsk });
    }

    #skip(missed) {
        log("warning", `Time and sales of ${this.#symbol}: ${missedText(missed)}. The chart reads history again.`);
        for (const { onGap } of this.#listeners) onGap(missed);
    }
}

/** Return how many trades are missing, in words. */
export function missedText(missed) {
    if (missed === null) return "trades may be missing";
    return missed === 1 ? "1 trade is missing" : `${missed} trades are missing`;
}
