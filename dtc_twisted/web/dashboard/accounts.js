// Keep orders, positions, balances and fills, from the channels of /stream.

import { log } from "./log.js";
import { seconds } from "./numbers.js";
import { idOf, isOpen } from "./orders.js";
import { rows } from "./rest.js";

const FILL_DAYS = 1;
const MOST_FILLS = 5000;
const FILLED = new Set([4, 5]); // OrderUpdateReason
const UNHEARD = "not received yet";

export class Accounts {
    orders = new Map(); // key -> fields of ORDER_UPDATE, prices as the server has them
    positions = new Map();
    balances = new Map();
    fills = new Map(); // execution id -> fill
    stale = UNHEARD; // why the tables may be out of date; empty while they are live
    #staleness = new Map([["orders", UNHEARD], ["positions", UNHEARD], ["balances", UNHEARD]]);
    #names = []; // of the accounts
    #isKnown = false; // whether the orders have been received once
    #listeners = new Set();

    constructor(stream) {
        for (const channel of this.#staleness.keys())
            stream.subscribe(channel, undefined, {}, (message) => this.#receive(channel, message));
    }

    /** Call the listener after each change, with the channel and, if it is one update, its fields. */
    observe(listener) {
        this.#listeners.add(listener);
        listener();
    }

    get openOrders() {
        return [...this.orders.values()].filter(isOpen);
    }

    /** Return the position of a symbol in an account: {Quantity, AveragePrice}. */
    position(account, symbol) {
        return this.positions.get(`${account} ${symbol}`);
    }

    /** Read the fills of the last day; later ones come as order updates. */
    async loadFills(accounts = this.#names) {
        this.#names = accounts;
        for (const account of accounts) {
            const found = await rows("/historicalorderfills", { TradeAccount: account, NumberOfDays: FILL_DAYS });
            for (const fill of found.filter((row) => row.Symbol)) this.#addFill({ ...fill, id: fill.UniqueExecutionID });
        }
        this.#notify("fills");
    }

    #receive(channel, message) {
        // Single updates come while the tables are stale too, for example of an order whose outcome became unknown.
        if (message.event === "stale") this.#setStale(channel, message.reason || "updates have stopped");
        else if (message.event === "ended") this.#setStale(channel, message.error);
        else if (message.event === "snapshot" || message.event === "live" || message.resumed) this.#setStale(channel, "");
        if (message.event === "subscribed" && channel === "orders" && this.#isKnown && !message.resumed && message.missed !== 0)
            log("warning", `Orders: ${message.missed ?? "some"} updates were missed. All orders and fills are read again.`);
        if (message.event === "snapshot") {
            this[channel].clear();
            for (const row of message[channel]) this.#apply(channel, row);
            this.#notify(channel);
            if (channel === "orders") this.#loadMissedFills();
        } else if (message.event === undefined) {
            this.#apply(channel, message);
            this.#notify(channel, message);
        } else this.#notify(channel);
    }

    /** A later snapshot has all orders, but not the fills of those that were closed meanwhile. */
    #loadMissedFills() {
        if (this.#isKnown) this.loadFills().catch((error) => log("error", `Fills: ${error.message}`));
        this.#isKnown = true;
    }

    #setStale(channel, reason) {
        this.#staleness.set(channel, reason);
        this.stale = [...this.#staleness.values()].find(Boolean) ?? "";
    }

    #apply(channel, row) {
        if (channel === "orders") this.#applyOrder(row);
        else if (channel === "balances") this.balances.set(row.TradeAccount, row);
        else if (row.NoPositions || !row.Quantity) this.positions.delete(`${row.TradeAccount} ${row.Symbol}`);
        else this.positions.set(`${row.TradeAccount} ${row.Symbol}`, row);
    }

    #applyOrder(row) {
        // A replaced order can have a new ServerOrderID: the ClientOrderID stays.
        const key = row.ClientOrderID ? `${row.TradeAccount} ${row.ClientOrderID}` : `${row.TradeAccount} #${idOf(row)}`;
        this.orders.set(key, row);
        if (!FILLED.has(row.OrderUpdateReason) || !row.LastFillQuantity) return;
        this.#addFill({
            id: row.LastFillExecutionID || `${key} ${row.FilledQuantity}`,
            Symbol: row.Symbol,
            TradeAccount: row.TradeAccount,
            BuySell: row.BuySell,
            Price: row.LastFillPrice,
            Quantity: row.LastFillQuantity,
            DateTime: row.LastFillDateTime || row.LatestTransactionDateTime,
            ServerOrderID: row.ServerOrderID,
        });
    }

    #addFill(fill) {
        this.fills.set(fill.id, { ...fill, DateTime: seconds(fill.DateTime ?? 0) });
        if (this.fills.size > MOST_FILLS) this.fills.delete(this.fills.keys().next().value);
    }

    #notify(channel, update) {
        for (const listener of this.#listeners) listener(channel, update);
    }
}
