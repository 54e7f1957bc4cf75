// Place, move and cancel orders on the ladder, with the mouse and with the keyboard.

import { byId, setText } from "./dom.js";
import { quantity } from "./numbers.js";
import { BUY, remaining, sideTitle, typeTitle } from "./orders.js";

const SIDES = { bid: "BUY", ask: "SELL" };
const MOVED = 4; // pixels after which a press is a drag

export class LadderOrders {
    #ladder;
    #trading;
    #ticket;
    #body = byId("ladder");
    #drag = null; // {orders, from, x, y, isMoved, over}

    constructor(ladder, { trading, ticket }) {
        this.#ladder = ladder;
        this.#trading = trading;
        this.#ticket = ticket;
        this.#body.addEventListener("click", (event) => this.#click(event));
        this.#body.addEventListener("contextmenu", (event) => this.#cancelAt(event));
        this.#body.addEventListener("keydown", (event) => this.#key(event));
        this.#body.addEventListener("pointerdown", (event) => this.#press(event));
        this.#body.addEventListener("pointermove", (event) => this.#move(event));
        this.#body.addEventListener("pointerup", () => this.#drop());
        this.#body.addEventListener("pointercancel", () => this.#endDrag());
    }

    get isDragging() {
        return this.#drag?.isMoved ?? false;
    }

    static text(orders) {
        return quantity(orders.reduce((sum, order) => sum + remaining(order), 0));
    }

    static title(orders) {
        return orders.map((order) => `${sideTitle(order)} ${remaining(order)} ${typeTitle(order)}, ${order.TradeAccount}`).join("; ");
    }

    /** State why no order can be placed; while there is a reason, all ways to place, move and cancel here are off. */
    drawControls() {
        const fault = this.#fault();
        this.#body.classList.toggle("armed", !fault);
        const hint = this.#ladder.stale ? "" : fault || "click a size to order";
        setText(byId("ladder-hint"), this.#trading.isAllowed ? hint : "");
    }

    #fault() {
        return this.#trading.orderFault(this.#ladder.symbol) || (this.#ladder.stale && `the book is stale: ${this.#ladder.stale}`);
    }

    #click(event) {
        const cell = event.target.closest("[role=gridcell]");
        const side = cell && Object.keys(SIDES).find((name) => cell.classList.contains(name));
        if (side) this.#place(SIDES[side], ticksAt(cell), event.shiftKey);
    }

    /** Place an order. A buy above the ask, and a sell below the bid, is a stop, unless isLimit. */
    #place(side, ticks, isLimit) {
        const { bid, ask } = this.#ladder.inside;
        const isBeyond = side === "BUY" ? ask !== undefined && ticks > ask : bid !== undefined && ticks < bid;
        const type = isBeyond && !isLimit ? "STOP" : "LIMIT";
        if (this.#fault() || Number.isNaN(ticks)) return;
        this.#ticket.place(type, side, this.#ladder.instrument.price(ticks));
    }

    #cancelAt(event) {
        const cell = event.target.closest(".own.present");
        if (!cell) return;
        event.preventDefault();
        this.#cancel(ordersOf(this.#ladder.ordersAt(ticksAt(cell)), cell));
    }

    #cancel(orders) {
        if (orders.length && !this.#fault()) this.#trading.cancel(orders);
    }

    #key(event) {
        const { cursor } = this.#ladder;
        const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key];
        if (step && event.altKey) this.#shift(cursor, cursor - step);
        else if (step) this.#ladder.moveCursor(step);
        else if (event.key === "Home") this.#ladder.centre();
        else if (cursor === null) return;
        else if (event.key === "Delete") this.#cancel(this.#ladder.ordersAt(cursor));
        else if (event.key === "b" || event.key === "B") this.#place("BUY", cursor, event.shiftKey);
        else if (event.key === "s" || event.key === "S") this.#place("SELL", cursor, event.shiftKey);
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    #press(event) {
        const cell = event.target.closest(".own.present");
        if (!cell || event.button !== 0 || this.#fault()) return;
        const from = ticksAt(cell);
        const orders = ordersOf(this.#ladder.ordersAt(from), cell);
        this.#drag = { orders, from, x: event.clientX, y: event.clientY, isMoved: false, over: null };
        this.#body.setPointerCapture(event.pointerId);
        event.preventDefault();
        this.#body.focus();
    }

    #move(event) {
        if (!this.#drag) return;
        const distance = Math.hypot(event.clientX - this.#drag.x, event.clientY - this.#drag.y);
        this.#drag.isMoved ||= distance > MOVED;
        const row = document.elementFromPoint(event.clientX, event.clientY)?.closest(".level");
        this.#drag.over?.classList.remove("target");
        this.#drag.over = this.#drag.isMoved ? row : null;
        row?.classList.add("target");
    }

    #drop() {
        const drag = this.#drag;
        const ticks = drag?.over ? Number(drag.over.dataset.ticks) : null;
        this.#endDrag();
        if (drag?.isMoved && ticks !== null) this.#replace(drag.orders, ticks);
    }

    #endDrag() {
        this.#drag?.over?.classList.remove("target");
        this.#drag = null;
    }

    #shift(from, to) {
        if (from !== null) this.#replace(this.#ladder.ordersAt(from), to);
    }

    async #replace(orders, ticks) {
        if (this.#fault()) return;
        for (const order of orders) await this.#trading.replace(order, { Price1: this.#ladder.instrument.price(ticks) });
    }
}

function ticksAt(element) {
    return Number(element.closest(".level").dataset.ticks);
}

/** Return the orders of the side that a cell shows. */
function ordersOf(orders, cell) {
    const isBuy = cell.classList.contains("buy");
    return orders.filter((order) => (order.BuySell === BUY) === isBuy);
}
