// Write to the log what happens: connections, halts, orders and their outcomes.

import { byId, setText } from "./dom.js";
import { knownInstrument } from "./instruments.js";
import { log } from "./log.js";
import { REJECTED, advice, idOf, sideTitle, statusTitle, typeTitle } from "./orders.js";

export class EventLog {
    #stream;
    #status;
    #accounts;
    #statuses = new Map(); // order id -> the status that was logged

    constructor({ stream, status, accounts }) {
        this.#stream = stream;
        this.#status = status;
        this.#accounts = accounts;
        let connections = 0;
        let isOpen = false; // each attempt to connect again ends as closed too
        stream.state.observe((state) => {
            if (state === "open") log("info", connections++ ? "Connected to the gateway again." : "Connected to the gateway.");
            else if (state === "closed" && isOpen) log("warning", `The gateway is away: ${stream.reason}.`);
            if (state !== "connecting") isOpen = state === "open";
            this.#drawAlarm();
        });
        let before = null;
        status.observe((fields) => {
            if (fields) this.#logStatus(fields, before);
            before = fields ?? before;
            this.#drawAlarm();
        });
        accounts.observe((channel, update) => {
            if (channel === "orders" && update) this.#logOrder(update);
            this.#drawAlarm();
        });
    }

    #logStatus(fields, before) {
        if (fields.state !== before?.state) {
            const text = `${fields.state.replace("_", " ")}${fields.reason ? `: ${fields.reason}` : ""}`;
            log(before && fields.state !== "ready" ? "warning" : "info", `Server ${text}.`);
        }
        const halted = fields.trading?.halted;
        if (before && JSON.stringify(halted) !== JSON.stringify(before.trading?.halted)) log("warning", halted ? "Trading is halted." : "Trading goes on.");
        const stalled = (fields.stalled ?? []).filter((symbol) => !before?.stalled?.includes(symbol));
        if (stalled.length) log("warning", `Updates have stopped: ${stalled.join(", ")}.`);
    }

    #logOrder(order) {
        const id = `${order.TradeAccount} ${order.ClientOrderID || order.ServerOrderID}`;
        const title = statusTitle(order);
        const filled = order.FilledQuantity ?? 0;
        if (this.#statuses.get(id) === `${title} ${filled}`) return;
        this.#statuses.set(id, `${title} ${filled}`);
        const level = order.OutcomeUnknown || order.OrderStatus === REJECTED ? "error" : "info";
        const note = advice(order) ? ` ${advice(order)}` : "";
        const instrument = knownInstrument(order.Symbol);
        const price = order.AverageFillPrice && instrument ? ` at ${instrument.averageText(instrument.display(order.AverageFillPrice))}` : "";
        const what = `${sideTitle(order)} ${order.OrderQuantity ?? ""} ${order.Symbol} ${typeTitle(order).toLowerCase()}`;
        log(level, `${what}: ${title}${filled && title.includes("fill") ? ` ${filled}${price}` : ""}.${note}`);
    }

    /** What concerns all of the page, and the user must not overlook. */
    #drawAlarm() {
        const status = this.#status.value;
        const inDoubt = this.#accounts.openOrders.filter((order) => order.OutcomeUnknown);
        const lines = [];
        if (this.#stream.state.value !== "open" && this.#stream.reconnects.value >= 0)
            lines.push("The gateway is away: prices and orders are out of date, nothing can be sent.");
        else if (status && status.state !== "ready") lines.push(`The server is away (${status.reason || status.state}): prices and orders are out of date.`);
        if (status?.trading?.halted) lines.push("Trading is halted: the gateway accepts no new orders.");
        if (status?.trading && status.trading.journal !== "ok") lines.push(`The journal cannot be written: ${status.trading.journal}`);
        if (inDoubt.length)
            lines.push(`${inDoubt.length} order${inDoubt.length > 1 ? "s" : ""} in doubt: ${idOf(inDoubt[0])}: ${advice(inDoubt[0])}`);
        setText(byId("alarm"), lines.join(" "));
        byId("alarm").hidden = !lines.length;
    }
}
