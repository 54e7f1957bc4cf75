// Show time and sales of the selected symbol, newest first.

import { byId, make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";
import { quantity, timeText } from "./numbers.js";
import { stored } from "./observable.js";
import { missedText } from "./trades.js";

const KEPT = 1000; // trades
const SHOWN = 100; // rows
const AT_ASK = 2;

export class Tape {
    #trades = []; // newest last; {missed} where some are missing
    #rows = [];
    #instrument = null;
    #stale = "";
    #stop = () => {};
    #least = stored("tape.least", 0);

    /** trades: the Trades of the selected symbol. */
    constructor({ trades, market, selected }) {
        const input = byId("least");
        input.value = this.#least.value || "";
        input.addEventListener("input", () => (this.#least.value = Number(input.value) || 0));
        this.#least.observe(() => frames.schedule(this.draw));
        for (let number = 0; number < SHOWN; number++) this.#rows.push(new TapeRow());
        byId("tape").append(...this.#rows.map((row) => row.element));
        trades.observe((trade) => this.#add(trade), (missed) => this.#add({ missed }));
        selected.observe((symbol) => {
            this.#stop();
            this.#trades = [];
            this.#instrument = null;
            this.#stop = symbol ? market.watch(symbol, (quote) => this.#update(quote)) : () => {};
            frames.schedule(this.draw);
        });
    }

    #update(quote) {
        if (quote.instrument === this.#instrument && quote.stale === this.#stale) return;
        this.#instrument = quote.instrument;
        this.#stale = quote.stale;
        frames.schedule(this.draw);
    }

    #add(trade) {
        this.#trades.push(trade);
        if (this.#trades.length > KEPT) this.#trades.shift();
        frames.schedule(this.draw);
    }

    draw = () => {
        setClass(byId("tape"), this.#stale ? "stale" : "");
        let row = 0;
        for (let number = this.#trades.length - 1; number >= 0 && row < SHOWN; number--) {
            const trade = this.#trades[number];
            if (!(trade.Volume < this.#least.value)) this.#rows[row++].draw(trade, this.#instrument);
        }
        for (; row < SHOWN; row++) this.#rows[row].clear();
    };
}

class TapeRow {
    #trade = null;

    constructor() {
        this.cells = [make("td"), make("td", { class: "n" }), make("td", { class: "n" })];
        this.element = make("tr", { hidden: true }, ...this.cells);
    }

    clear() {
        this.#trade = null;
        this.element.hidden = true;
    }

    draw(trade, instrument) {
        if (trade === this.#trade && instrument !== null) return;
        this.#trade = trade;
        this.element.hidden = false;
        const isGap = trade.missed !== undefined;
        this.cells[0].colSpan = isGap ? 3 : 1;
        this.cells[1].hidden = this.cells[2].hidden = isGap;
        if (isGap) {
            setText(this.cells[0], missedText(trade.missed));
            setClass(this.element, "gap");
            return;
        }
        const texts = [timeText(trade.DateTime), instrument?.text(trade.Price) ?? String(trade.Price), quantity(trade.Volume)];
        texts.forEach((text, number) => setText(this.cells[number], text));
        setClass(this.element, trade.AtBidOrAsk === AT_ASK ? "up" : trade.AtBidOrAsk ? "down" : "");
    }
}
