// Pass on the trades of the selected symbol, from the channel trades, to the chart and to time and sales.

export class Trades {
    #listeners = new Set();
    #cancel = () => {};
    stale = "";

    constructor(stream, selected) {
        selected.observe((symbol) => {
            this.#cancel();
            this.#cancel = () => {};
            if (symbol) this.#cancel = stream.subscribe("trades", symbol, { prices: "display" }, (message) => this.#receive(message));
        });
    }

    /** Call the listener with each trade, {Price, Volume, DateTime, AtBidOrAsk}, and the other one after each interruption. */
    observe(listener, onResumed = () => {}) {
        this.#listeners.add({ listener, onResumed });
    }

    #receive(message) {
        if (message.event === "stale" || message.event === "ended") {
            this.stale = message.reason || message.error;
            return;
        }
        if (this.stale) {
            this.stale = "";
            for (const { onResumed } of this.#listeners) onResumed();
        }
        if (message.event !== undefined || message.Price === undefined) return;
        const trade = { ...message, DateTime: message.DateTime ?? Date.now() / 1000 };
        for (const { listener } of this.#listeners) listener(trade);
    }
}
