// Show orders, positions, balances, fills, the log and the state of the gateway, one at a time.

import { byId, make, setText } from "./dom.js";
import { frames } from "./frames.js";
import { instrumentOf, knownInstrument } from "./instruments.js";
import { entries } from "./log.js";
import { dateTimeText, money, quantity, seconds, timeText } from "./numbers.js";
import { REJECTED, advice, idOf, isOpen, remaining, sideTitle, statusTitle, timeTitle, typeTitle } from "./orders.js";
import { Table } from "./table.js";

const TABS = ["orders", "positions", "balances", "fills", "log", "status"];
const price = (row, value) => {
    const instrument = knownInstrument(row.Symbol);
    return instrument ? instrument.averageText(instrument.display(value)) : String(value ?? "");
};
/** Return a server price as a display price, to sort by. */
const shown = (row, value) => knownInstrument(row.Symbol)?.display(value) ?? value;
const side = { title: "Side", text: sideTitle, className: (row) => (row.BuySell === 1 ? "up" : "down") };
const symbol = { title: "Symbol", text: (row) => row.Symbol ?? "" };
const account = { title: "Account", text: (row) => row.TradeAccount ?? "" };

export class Blotter {
    #accounts;
    #market;
    #trading;
    #ticket;
    #selected;
    #tables = {};
    #watched = new Map(); // symbol of a position -> function that ends the watching
    #changed = new Set(["orders", "positions", "balances", "fills"]);
    #onlyOpen = byId("only-open");

    constructor({ accounts, market, trading, ticket, selected, status }) {
        this.#accounts = accounts;
        this.#market = market;
        this.#trading = trading;
        this.#ticket = ticket;
        this.#selected = selected;
        for (const name of TABS.slice(0, 5)) this.#tables[name] = this.#makeTable(name);
        for (const [number, name] of TABS.entries()) this.#addTab(name, number);
        byId("filter").addEventListener("input", ({ target }) => {
            for (const table of Object.values(this.#tables)) table.filter = target.value;
        });
        this.#onlyOpen.addEventListener("change", () => this.#change("orders"));
        accounts.observe((channel) => this.#change(channel));
        entries.observe((list) => (this.#tables.log.rows = list));
        status.observe((fields) => this.#drawStatus(fields));
    }

    /** Show a tab, and put the keyboard into it. */
    open(name) {
        this.#choose(name);
        this.#tables[name].draw();
        this.#tables[name].focus();
    }

    /** Draw buttons again, because what may be sent has changed. */
    redraw() {
        for (const table of Object.values(this.#tables)) frames.schedule(table.draw);
    }

    #change(channel) {
        if (channel) this.#changed.add(channel);
        if (channel === "orders") this.#changed.add("fills");
        frames.schedule(this.draw);
    }

    draw = () => {
        const accounts = this.#accounts;
        for (const channel of this.#changed) {
            const rows = channel === "orders" && this.#onlyOpen.checked ? accounts.openOrders : [...accounts[channel].values()];
            this.#tables[channel].rows = rows;
            for (const row of rows.slice(0, 200)) if (row.Symbol && !knownInstrument(row.Symbol)) this.#loadInstrument(row.Symbol);
            if (channel === "positions") this.#watchPositions(rows);
        }
        this.#changed.clear();
        const inDoubt = accounts.openOrders.filter((order) => order.OutcomeUnknown).length;
        setText(byId("tab-orders"), `Orders ${accounts.openOrders.length}${inDoubt ? ` (${inDoubt} in doubt)` : ""}`);
        setText(byId("tab-positions"), `Positions ${accounts.positions.size}`);
        byId("tab-orders").classList.toggle("alert", inDoubt > 0);
        byId("blotter").classList.toggle("stale", Boolean(accounts.stale));
        setText(byId("blotter-state"), accounts.stale ? `stale: ${accounts.stale}` : "");
    };

    #asked = new Set();

    #loadInstrument(name) {
        if (this.#asked.has(name)) return;
        this.#asked.add(name);
        instrumentOf(name).then(() => this.redraw(), () => this.#asked.delete(name));
    }

    /** Watch the prices of all positions, for their open profit. */
    #watchPositions(rows) {
        const symbols = new Set(rows.map((row) => row.Symbol));
        for (const [name, stop] of this.#watched)
            if (!symbols.has(name)) {
                this.#watched.delete(name);
                stop();
            }
        const redraw = () => frames.schedule(this.#tables.positions.draw);
        for (const name of symbols) if (!this.#watched.has(name)) this.#watched.set(name, this.#market.watch(name, redraw));
    }

    /** Return the open profit at the last price; that of the server while no live price is known. */
    #profit(row) {
        const quote = this.#market.quote(row.Symbol);
        const instrument = knownInstrument(row.Symbol);
        if (!instrument || quote?.last === undefined || row.AveragePrice === undefined) return row.OpenProfitLoss;
        return instrument.worth(quote.last - instrument.display(row.AveragePrice), row.Quantity) ?? row.OpenProfitLoss;
    }

    #makeTable(name) {
        const scroll = byId(`panel-${name}`);
        return new Table(scroll, { label: name, ...this[`_${name}`]() });
    }

    _orders() {
        const cancel = (row) => this.#trading.cancel([row]);
        const buttons = (row) => {
            if (!this.#trading.isAllowed || !isOpen(row)) return [];
            const found = [
                // It fills the ticket, which sends nothing while data are stale.
                { title: "Change", label: `Change ${idOf(row)}`, run: () => this.#ticket.change(row), fault: this.#trading.cancelFault() },
                { title: "Cancel", label: `Cancel ${idOf(row)}`, run: () => cancel(row), fault: this.#trading.cancelFault() },
            ];
            if (row.OutcomeUnknown && !row.AcknowledgedBy)
                found.push({ title: "Acknowledge", label: `Acknowledge ${idOf(row)}`, run: () => this.#trading.acknowledge(row), fault: this.#trading.cancelFault() });
            return found;
        };
        return {
            empty: "No orders.",
            sort: { column: 0, descending: true },
            rowClass: (row) => (row.OutcomeUnknown ? "doubt" : row.OrderStatus === REJECTED ? "failed" : isOpen(row) ? "" : "over"),
            columns: [
                { title: "Time", text: (row) => timeText(orderTime(row)), value: orderTime },
                symbol,
                side,
                { title: "Type", text: typeTitle },
                { title: "Qty", isNumber: true, text: (row) => quantity(row.OrderQuantity), value: (row) => row.OrderQuantity },
                { title: "Left", isNumber: true, text: (row) => quantity(isOpen(row) ? remaining(row) : 0), value: remaining },
                { title: "Price", isNumber: true, text: (row) => price(row, row.Price1), value: (row) => shown(row, row.Price1) },
                { title: "Status", text: statusText, title_of: advice, className: () => "status" },
                { title: "Commands", buttons },
                { title: "Limit", isNumber: true, text: (row) => price(row, row.Price2), value: (row) => shown(row, row.Price2) },
                { title: "Fill", isNumber: true, text: (row) => price(row, row.AverageFillPrice), value: (row) => shown(row, row.AverageFillPrice) },
                { title: "TIF", text: timeTitle },
                account,
                { title: "Id", text: idOf },
                { title: "Note", text: advice },
            ],
            onKey: (row, event) => {
                if (!this.#trading.isAllowed || !isOpen(row)) return false;
                if (event.key === "Delete") cancel(row);
                else if (event.key === "Enter") this.#ticket.change(row);
                else return false;
                return true;
            },
        };
    }

    _positions() {
        const className = (row) => (this.#profit(row) > 0 ? "up" : this.#profit(row) < 0 ? "down" : "");
        const flatten = (row) => this.#trading.flatten(row.TradeAccount, row.Symbol);
        return {
            empty: "No positions.",
            sort: { column: 0, descending: false },
            columns: [
                symbol,
                { title: "Quantity", isNumber: true, text: (row) => quantity(row.Quantity), value: (row) => row.Quantity, className: (row) => (row.Quantity > 0 ? "up" : "down") },
                { title: "Average", isNumber: true, text: (row) => price(row, row.AveragePrice), value: (row) => shown(row, row.AveragePrice) },
                { title: "Last", isNumber: true, text: (row) => knownInstrument(row.Symbol)?.text(this.#market.quote(row.Symbol)?.last) ?? "" },
                { title: "Open profit", isNumber: true, text: (row) => money(this.#profit(row)), value: (row) => this.#profit(row), className },
                account,
                {
                    title: "Commands",
                    buttons: (row) =>
                        this.#trading.isAllowed
                            ? [{ title: "Flatten", label: `Flatten ${row.Symbol} in ${row.TradeAccount}`, run: () => flatten(row), fault: this.#trading.cancelFault() }]
                            : [],
                },
            ],
            onKey: (row, event) => {
                if (event.key !== "Enter") return false;
                this.#selected.value = row.Symbol;
                return true;
            },
        };
    }

    _balances() {
        const amount = (title, field) => ({ title, isNumber: true, text: (row) => money(row[field]), value: (row) => row[field] });
        return {
            empty: "No balances.",
            sort: { column: 0, descending: false },
            columns: [
                account,
                { title: "Currency", text: (row) => row.AccountCurrency ?? "" },
                amount("Cash", "CashBalance"),
                amount("Equity", "SecuritiesValue"),
                amount("Available", "BalanceAvailableForNewPositions"),
                amount("Margin", "MarginRequirement"),
                amount("Open profit", "OpenPositionsProfitLoss"),
                amount("Day", "DailyProfitLoss"),
                { title: "State", text: (row) => (row.TradingIsDisabled ? "trading is disabled" : "") },
            ],
        };
    }

    _fills() {
        return {
            empty: "No fills in the last day.",
            sort: { column: 0, descending: true },
            columns: [
                { title: "Time", text: (row) => dateTimeText(row.DateTime), value: (row) => row.DateTime },
                symbol,
                side,
                { title: "Quantity", isNumber: true, text: (row) => quantity(row.Quantity), value: (row) => row.Quantity },
                { title: "Price", isNumber: true, text: (row) => price(row, row.Price), value: (row) => shown(row, row.Price) },
                account,
                { title: "Order", text: (row) => row.ServerOrderID ?? "" },
            ],
        };
    }

    _log() {
        return {
            empty: "Nothing has happened yet.",
            sort: { column: 0, descending: true },
            rowClass: (row) => row.level,
            columns: [
                { title: "Time", text: (row) => timeText(row.at), value: (row) => row.at },
                { title: "Event", text: (row) => row.text },
            ],
        };
    }

    #addTab(name, number) {
        const tab = byId(`tab-${name}`);
        tab.addEventListener("click", () => this.#choose(name));
        tab.addEventListener("keydown", (event) => {
            const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
            if (!step) return;
            const other = TABS[(number + step + TABS.length) % TABS.length];
            this.#choose(other);
            byId(`tab-${other}`).focus();
        });
    }

    #choose(name) {
        for (const each of TABS) {
            byId(`tab-${each}`).setAttribute("aria-selected", String(each === name));
            byId(`tab-${each}`).tabIndex = each === name ? 0 : -1;
            byId(`panel-${each}`).hidden = each !== name;
        }
        byId("only-open-label").hidden = name !== "orders";
        this.#tables[name]?.show();
    }

    /** Show all fields of /status. */
    #drawStatus(fields) {
        const lines = Object.entries({ ...fields, ...fields?.trading })
            .filter(([name]) => !["channel", "seq", "trading"].includes(name))
            .map(([name, value]) => make("div", {}, make("dt", { text: name.replaceAll("_", " ") }), make("dd", { text: textOf(name, value) })));
        byId("status-fields").replaceChildren(...lines);
    }
}

/** Return the status, and why an order was rejected: the note may be out of sight. */
function statusText(row) {
    return row.OrderStatus === REJECTED && !row.OutcomeUnknown ? `rejected: ${advice(row)}` : statusTitle(row);
}

function textOf(name, value) {
    if (Array.isArray(value)) return value.map((each) => (typeof each === "object" ? JSON.stringify(each) : each)).join(", ") || "none";
    if (name.endsWith("_since")) return dateTimeText(value);
    return value === null || value === "" ? "none" : String(value);
}

function orderTime(row) {
    return seconds(row.LatestTransactionDateTime ?? row.OrderReceivedDateTime ?? 0);
}
