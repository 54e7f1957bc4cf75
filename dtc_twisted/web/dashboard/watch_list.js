// Show the watch list: one row for each symbol, kept in the browser.

import { byId, make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";
import { ageText, shortNumber, signed, size } from "./numbers.js";
import { stored } from "./observable.js";

const FLASH = 300; // milliseconds

export class WatchList {
    #market;
    #selected;
    #rows = new Map(); // symbol -> Row
    #body = byId("quotes");
    symbols = stored("watch", null);

    /** selected: an Observable with the symbol of the chart and the order book. */
    constructor(market, selected) {
        this.#market = market;
        this.#selected = selected;
        this.symbols.observe((symbols) => this.#show(symbols ?? []));
        selected.observe(() => this.#rows.forEach((row) => row.mark(selected.value)));
        this.#body.addEventListener("keydown", (event) => this.#key(event));
        setInterval(() => this.#rows.forEach((row) => frames.schedule(row.draw)), 1000); // the ages
        setInterval(() => this.#rows.forEach((row) => row.endFlashes()), FLASH / 2);
    }

    add(symbol) {
        const symbols = this.symbols.value ?? [];
        if (!symbols.includes(symbol)) this.symbols.value = [...symbols, symbol];
        this.#selected.value = symbol;
    }

    remove(symbol) {
        this.symbols.value = this.symbols.value.filter((each) => each !== symbol);
    }

    /** Move a symbol before or after another one. */
    move(symbol, place) {
        const symbols = this.symbols.value.filter((each) => each !== symbol);
        symbols.splice(Math.max(0, place), 0, symbol);
        this.symbols.value = symbols;
    }

    focus() {
        (this.#body.querySelector("[aria-selected=true]") ?? this.#body.firstElementChild)?.focus();
    }

    #show(symbols) {
        for (const [symbol, row] of this.#rows)
            if (!symbols.includes(symbol)) {
                row.stop();
                this.#rows.delete(symbol);
            }
        for (const symbol of symbols) if (!this.#rows.has(symbol)) this.#rows.set(symbol, this.#makeRow(symbol));
        const focused = document.activeElement;
        this.#body.replaceChildren(...symbols.map((symbol) => this.#rows.get(symbol).element));
        if (this.#body.contains(focused)) focused.focus();
        byId("no-quotes").hidden = symbols.length > 0;
    }

    #makeRow(symbol) {
        const row = new Row(symbol, () => this.remove(symbol));
        row.element.addEventListener("click", () => (this.#selected.value = symbol));
        row.element.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", symbol));
        row.element.addEventListener("dragover", (event) => event.preventDefault());
        row.element.addEventListener("drop", (event) => {
            event.preventDefault();
            const moved = event.dataTransfer.getData("text/plain");
            if (this.#rows.has(moved)) this.move(moved, this.symbols.value.indexOf(symbol));
        });
        row.stop = this.#market.watch(symbol, row.update);
        row.mark(this.#selected.value);
        return row;
    }

    #key(event) {
        const element = event.target.closest("tr");
        const symbol = element.dataset.symbol;
        const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
        if (step && event.altKey) {
            this.move(symbol, this.symbols.value.indexOf(symbol) + step);
            this.#rows.get(symbol).element.focus();
        } else if (step) (step < 0 ? element.previousElementSibling : element.nextElementSibling)?.focus();
        else if (event.key === "Enter" && event.target === element) this.#selected.value = symbol;
        else if (event.key === "Delete") {
            (element.nextElementSibling ?? element.previousElementSibling)?.focus();
            this.remove(symbol);
        } else return;
        event.preventDefault();
    }
}

class Row {
    #quote = null;
    #drawn = {};
    #flashes = new Map(); // cell -> time when it ends
    stop = () => {};

    constructor(symbol, remove) {
        this.symbol = symbol;
        const cell = () => make("td", { class: "n" });
        this.cells = { last: cell(), change: cell(), bid: cell(), ask: cell(), volume: cell(), age: cell() };
        this.bidSize = make("small");
        this.askSize = make("small");
        this.bidPrice = make("span");
        this.askPrice = make("span");
        this.cells.bid.append(this.bidSize, this.bidPrice);
        this.cells.ask.append(this.askPrice, this.askSize);
        this.age = make("span");
        const button = make("button", { type: "button", class: "remove", "aria-label": `Remove ${symbol}`, text: "×" });
        button.addEventListener("click", (event) => {
            event.stopPropagation();
            remove();
        });
        this.cells.age.append(this.age, button);
        this.name = make("th", { scope: "row", text: symbol });
        this.element = make("tr", { tabindex: 0, draggable: "true", "data-symbol": symbol }, this.name, ...Object.values(this.cells));
    }

    /** Show whether this is the selected symbol. */
    mark(selected) {
        this.element.setAttribute("aria-selected", String(selected === this.symbol));
    }

    update = (quote) => {
        this.#quote = quote;
        frames.schedule(this.draw);
    };

    draw = () => {
        const quote = this.#quote;
        const { cells } = this;
        setClass(this.element, quote.error ? "failed" : quote.stale ? "stale" : "");
        this.element.title = quote.error || quote.stale || quote.instrument?.description || "";
        const text = (price) => quote.instrument?.text(price) ?? String(price ?? "");
        this.#price(cells.last, cells.last, quote.last, text);
        setText(cells.change, signed(quote.change, text(quote.change)));
        setClass(cells.change, `n ${quote.change > 0 ? "up" : quote.change < 0 ? "down" : ""}`);
        this.#price(cells.bid, this.bidPrice, quote.bid, text);
        this.#price(cells.ask, this.askPrice, quote.ask, text);
        setText(this.bidSize, size(quote.bidSize));
        setText(this.askSize, size(quote.askSize));
        setText(cells.volume, shortNumber(quote.volume));
        setText(this.age, quote.updatedAt ? ageText((performance.now() - quote.updatedAt) / 1000) : "");
    };

    #price(cell, target, price, text) {
        const before = this.#drawn[cell.cellIndex];
        this.#drawn[cell.cellIndex] = price;
        if (price === before) return;
        setText(target, text(price));
        if (before === undefined || price === undefined) return;
        setClass(cell, `n flash ${price > before ? "up" : "down"}`);
        this.#flashes.set(cell, performance.now() + FLASH);
    }

    endFlashes() {
        const now = performance.now();
        for (const [cell, end] of this.#flashes)
            if (now >= end) {
                setClass(cell, "n");
                this.#flashes.delete(cell);
            }
    }
}
