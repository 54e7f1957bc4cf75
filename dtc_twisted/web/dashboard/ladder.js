// Show the order book of the selected symbol as a price ladder, with own orders on their levels.

import { Book } from "./book.js";
import { byId, make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";
import { LadderOrders } from "./ladder_orders.js";
import { size } from "./numbers.js";

const ROW = 19; // pixels
const LEVELS = 60;
const MAX_RATE = 15; // books a second; with a limit, each message is the whole book
const MIDDLE = 0.3; // the part of the ladder, from its centre, that the inside market may move in

export class Ladder {
    #stream;
    #market;
    #accounts;
    #orders;
    #body = byId("ladder");
    #rows = [];
    #book = null;
    #messages = []; // of the book, not applied yet
    #stale = "no data yet";
    #instrument = null;
    #symbol = "";
    #top = null; // ticks of the first row; null: to be centred
    #cursor = null; // ticks of the row of the keyboard
    #cancel = () => {};

    constructor({ stream, market, accounts, trading, ticket, selected }) {
        this.#stream = stream;
        this.#market = market;
        this.#accounts = accounts;
        this.#orders = new LadderOrders(this, { trading, ticket });
        new ResizeObserver(() => this.#resize()).observe(this.#body);
        this.#body.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
        byId("centre").addEventListener("click", () => this.centre());
        accounts.observe(() => frames.schedule(this.draw));
        selected.observe((symbol) => this.#show(symbol));
    }

    get symbol() {
        return this.#symbol;
    }

    get instrument() {
        return this.#instrument;
    }

    /** Why the book may be out of date; empty while it is live. */
    get stale() {
        return this.#stale || this.#market.quote(this.#symbol)?.stale || "";
    }

    get cursor() {
        return this.#cursor;
    }

    /** Return the best prices in ticks, undefined where there is none. */
    get inside() {
        return { bid: this.#book?.bestBid, ask: this.#book?.bestAsk };
    }

    /** Return own open orders whose price is this number of ticks. */
    ordersAt(ticks) {
        return this.#ownOrders().filter((order) => this.#ticksOf(order) === ticks);
    }

    centre() {
        this.#top = null;
        frames.schedule(this.draw);
    }

    /** Move the row of the keyboard by a number of rows, down if positive. */
    moveCursor(rows) {
        const start = this.#cursor ?? this.inside.bid ?? this.#top;
        if (start === null || start === undefined) return;
        this.#cursor = this.#cursor === null ? start : start - rows;
        if (this.#cursor > this.#top) this.#top = this.#cursor;
        const last = this.#top - this.#rows.length + 1;
        if (this.#cursor < last) this.#top -= last - this.#cursor;
        frames.schedule(this.draw, true);
    }

    #show(symbol) {
        this.#cancel();
        this.#symbol = symbol;
        this.#book = this.#instrument = this.#cursor = null;
        this.#messages = [];
        this.#stale = "no data yet";
        this.#cancel = () => {};
        this.centre();
        if (!symbol) return;
        const options = { prices: "display", max_rate: MAX_RATE, num_levels: LEVELS };
        const stops = [
            this.#stream.subscribe("marketdepth", symbol, options, (message) => this.#receive(message)),
            this.#market.watch(symbol, (quote) => {
                this.#instrument = quote.instrument;
                frames.schedule(this.draw);
            }),
        ];
        this.#cancel = () => stops.forEach((stop) => stop());
    }

    #receive(message) {
        if (message.event === "book" || message.event === "changes") {
            this.#messages.push(message);
            if (message.event === "book") this.#messages = [message];
            this.#stale = "";
        } else if (message.event === "live") this.#stale = "";
        else this.#stale = message.reason || message.error || "updates have stopped";
        frames.schedule(this.draw);
    }

    /** Apply what has come since the last frame. It waits until the symbol's tick is known. */
    #applyMessages() {
        if (!this.#instrument) return;
        for (const message of this.#messages) {
            if (message.event === "book") this.#book = new Book(this.#instrument, message);
            else this.#book?.change(message.changes);
        }
        this.#messages = [];
    }

    draw = () => {
        const { stale } = this;
        this.#applyMessages();
        setClass(this.#body, `ladder ${stale ? "stale" : ""}`);
        setText(byId("ladder-state"), this.#symbol && stale ? `stale: ${stale}` : "");
        this.#orders.drawControls();
        if (!this.#instrument || !this.#book) {
            for (const row of this.#rows) row.clear();
            return;
        }
        this.#place();
        const own = this.#ownByTicks();
        const quote = this.#market.quote(this.#symbol);
        const last = quote?.last === undefined ? null : this.#instrument.ticks(quote.last);
        const position = this.#averagePosition();
        this.#rows.forEach((row, number) => {
            const ticks = this.#top - number;
            row.draw(ticks, this.#instrument, this.#book, own.get(ticks), {
                isLast: ticks === last,
                isCursor: ticks === this.#cursor,
                isPosition: ticks === position,
            });
        });
        const active = this.#rows[this.#top - this.#cursor];
        if (this.#cursor !== null && active) this.#body.setAttribute("aria-activedescendant", active.element.id);
        else this.#body.removeAttribute("aria-activedescendant");
    };

    /** Keep the inside market near the middle. */
    #place() {
        const { bestBid, bestAsk } = this.#book;
        const middle = bestBid === undefined ? bestAsk : bestAsk === undefined ? bestBid : Math.round((bestBid + bestAsk) / 2);
        if (middle === undefined) return;
        const centred = middle + Math.floor(this.#rows.length / 2);
        const isFollowing = this.#cursor === null && !this.#orders.isDragging && !this.#scrolled;
        if (this.#top === null || (isFollowing && Math.abs(centred - this.#top) > this.#rows.length * MIDDLE)) this.#top = centred;
    }

    #scrolled = false;

    #wheel(event) {
        if (this.#top === null) return;
        event.preventDefault();
        this.#top -= Math.sign(event.deltaY) * 3;
        this.#scrolled = true;
        clearTimeout(this.scrollEnd);
        this.scrollEnd = setTimeout(() => (this.#scrolled = false), 10_000); // then the ladder follows the market again
        frames.schedule(this.draw, true);
    }

    #ownOrders() {
        return this.#accounts.openOrders.filter((order) => order.Symbol === this.#symbol);
    }

    #ticksOf(order) {
        return order.Price1 === undefined ? null : this.#instrument.ticks(this.#instrument.display(order.Price1));
    }

    #ownByTicks() {
        const own = new Map();
        for (const order of this.#ownOrders()) {
            const ticks = this.#ticksOf(order);
            if (ticks === null) continue;
            if (!own.has(ticks)) own.set(ticks, []);
            own.get(ticks).push(order);
        }
        return own;
    }

    #averagePosition() {
        const found = [...this.#accounts.positions.values()].find((each) => each.Symbol === this.#symbol && each.AveragePrice);
        return found ? this.#instrument.ticks(this.#instrument.display(found.AveragePrice)) : null;
    }

    #resize() {
        const count = Math.max(1, Math.floor(this.#body.clientHeight / ROW));
        if (count === this.#rows.length) return;
        while (this.#rows.length > count) this.#rows.pop().element.remove();
        while (this.#rows.length < count) {
            const row = new LadderRow(this.#rows.length);
            this.#rows.push(row);
            this.#body.append(row.element);
        }
        this.centre();
    }
}

/** One price of the ladder. The element is reused for other prices. */
class LadderRow {
    ticks = null;

    constructor(number) {
        const cell = (name) => make("div", { role: "gridcell", class: name });
        this.ownBuys = cell("own buy");
        this.bid = cell("bid");
        this.price = make("div", { role: "rowheader", class: "price" });
        this.ask = cell("ask");
        this.ownSells = cell("own sell");
        this.bidBar = make("i");
        this.askBar = make("i");
        this.bidText = make("span");
        this.askText = make("span");
        this.bid.append(this.bidBar, this.bidText);
        this.ask.append(this.askBar, this.askText);
        this.element = make(
            "div",
            { role: "row", id: `level-${number}`, class: "level" },
            ...[this.ownBuys, this.bid, this.price, this.ask, this.ownSells],
        );
    }

    clear() {
        for (const each of [this.bidText, this.askText, this.price, this.ownBuys, this.ownSells]) setText(each, "");
        for (const bar of [this.bidBar, this.askBar]) bar.style.width = "0";
        setClass(this.element, "level");
        this.ticks = null;
    }

    draw(ticks, instrument, book, orders, { isLast, isCursor, isPosition }) {
        if (this.ticks !== ticks) {
            this.ticks = ticks;
            this.element.dataset.ticks = ticks;
            setText(this.price, instrument.text(instrument.price(ticks)));
        }
        const marks = [isLast && "last", isCursor && "cursor", isPosition && "position"];
        if (ticks === book.bestBid) marks.push("best-bid");
        if (ticks === book.bestAsk) marks.push("best-ask");
        setClass(this.element, ["level", ...marks.filter(Boolean)].join(" "));
        drawSize(this.bidText, this.bidBar, book.bids.get(ticks), book.largest);
        drawSize(this.askText, this.askBar, book.asks.get(ticks), book.largest);
        drawOwn(this.ownBuys, orders?.filter((order) => order.BuySell === 1));
        drawOwn(this.ownSells, orders?.filter((order) => order.BuySell !== 1));
    }
}

function drawSize(text, bar, value, largest) {
    setText(text, value ? size(value) : "");
    const width = value ? `${Math.round((100 * value) / largest)}%` : "0";
    if (bar.style.width !== width) bar.style.width = width;
}

function drawOwn(cell, orders) {
    const isPresent = orders?.length > 0;
    const text = isPresent ? LadderOrders.text(orders) : "";
    setText(cell, text);
    cell.classList.toggle("present", isPresent);
    cell.title = isPresent ? LadderOrders.title(orders) : "";
}
