// Send order commands: only if the token may trade, never while data are stale, and after a confirmation.

import { ask } from "./confirm.js";
import { instrumentOf } from "./instruments.js";
import { log } from "./log.js";
import { Observable } from "./observable.js";
import { idOf, sideTitle, typeTitle } from "./orders.js";
import { NoAnswer, call } from "./rest.js";

export class Trading {
    #stream;
    #status;
    #caller;
    #market;
    #accounts;
    /** Whether each order is confirmed. On with each load of the page. */
    confirms = new Observable(true);

    constructor({ stream, status, caller, market, accounts }) {
        this.#stream = stream;
        this.#status = status;
        this.#caller = caller;
        this.#market = market;
        this.#accounts = accounts;
    }

    /** Whether the token may trade at all. Without it, the page shows no order controls. */
    get isAllowed() {
        return this.#caller.value.may_trade;
    }

    get isLive() {
        return this.#status.value?.trade_mode.startsWith("live") ?? false;
    }

    /** Return why cancellations and halts cannot be sent; empty if they can. They reduce risk, so prices may be stale. */
    cancelFault() {
        if (!this.isAllowed) return "this token may not trade";
        return this.#stream.state.value === "open" ? "" : "the gateway is away";
    }

    /** Return why new orders of a symbol, and changes, cannot be sent; empty if they can. */
    orderFault(symbol) {
        const status = this.#status.value;
        const quote = this.#market.quote(symbol);
        if (this.cancelFault()) return this.cancelFault();
        if (status?.state !== "ready") return "the server is away";
        if (!status.trading?.ready) return status.trading?.reason || "orders have not been read yet";
        if (this.#accounts.stale) return `orders are stale: ${this.#accounts.stale}`;
        if (status.trading.halted) return "trading is halted";
        if (!quote || quote.stale) return `data of ${symbol || "the symbol"} are stale`;
        return "";
    }

    /** Submit a single order; path is /orders, /orders/oco or /orders/bracket. Return whether it was sent and accepted. */
    async submit(path, body, summary, symbol) {
        const fault = this.orderFault(symbol);
        if (fault) return this.#refuse(fault);
        return this.#run("Send order", summary, () => call("POST", path, { body: { ...body, prices: "display" } }), {
            check: () => call("POST", path, { body: { ...body, prices: "display", check: true } }),
            fault: () => this.orderFault(symbol),
            side: (body.BuySell ?? body.BuySell_1 ?? body.Parent.BuySell).toLowerCase(),
        });
    }

    /** Change an order. changes: Price1, Price2 (display prices), Quantity. */
    async replace(order, changes) {
        const fault = this.orderFault(order.Symbol);
        if (fault) return this.#refuse(fault);
        const body = { ...changes, prices: "display" };
        const path = `/orders/${encodeURIComponent(idOf(order))}`;
        const instrument = await instrumentOf(order.Symbol);
        const values = Object.entries(changes).map(([name, value]) =>
            name === "Quantity" ? `quantity ${value}` : `${name === "Price1" ? "price" : "limit"} ${instrument.text(value)}`,
        );
        const summary = [`${await this.describe(order)}`, `to ${values.join(", ")}`];
        return this.#run("Change order", summary, () => call("PATCH", path, { body }), { fault: () => this.orderFault(order.Symbol) });
    }

    async cancel(orders) {
        const fault = this.cancelFault();
        if (fault) return this.#refuse(fault);
        const summary = await Promise.all(orders.map((order) => this.describe(order)));
        const run = async () => {
            const ids = orders.map(idOf);
            const results = await call("POST", "/orders/cancel", { body: { ids } });
            const failed = results.filter((each) => !each.success);
            if (failed.length) throw new Error(failed.map((each) => each.error.message).join(" "));
        };
        return this.#run(orders.length > 1 ? `Cancel ${orders.length} orders` : "Cancel order", summary, run);
    }

    cancelAll(account) {
        return this.#reduce("Cancel all orders", account, "/cancelall", { TradeAccount: account });
    }

    flatten(account, symbol) {
        const body = { TradeAccount: account, ...(symbol && { Symbol: symbol }) };
        return this.#reduce(symbol ? `Close the position of ${symbol}` : "Close all positions", account, "/flatten", body);
    }

    halt() {
        return this.#reduce("Halt trading, and cancel all orders of all clients", "", "/trading/halt");
    }

    resume() {
        return this.#reduce("Resume trading", "", "/trading/resume");
    }

    acknowledge(order) {
        const path = `/orders/${encodeURIComponent(idOf(order))}/acknowledge`;
        return this.#reduce(`Acknowledge ${idOf(order)}, after you checked it at the server`, order.TradeAccount, path);
    }

    /** Return an order in words. */
    async describe(order) {
        const instrument = await instrumentOf(order.Symbol).catch(() => null);
        const price = order.Price1 === undefined ? "" : ` at ${instrument?.text(instrument.display(order.Price1)) ?? order.Price1}`;
        return `${sideTitle(order)} ${order.OrderQuantity ?? ""} ${order.Symbol} ${typeTitle(order).toLowerCase()}${price}`;
    }

    async #reduce(title, account, path, body) {
        const fault = this.cancelFault();
        if (fault) return this.#refuse(fault);
        return this.#run(title, account ? [`Account ${account}`] : [], () => call("POST", path, { body }));
    }

    #refuse(fault) {
        log("warning", `Nothing was sent: ${fault}.`);
        return false;
    }

    /** Confirm if wanted, send, and log the outcome. check: asks the gateway whether it would accept the order. */
    async #run(title, summary, send, { check, fault = () => this.cancelFault(), side } = {}) {
        try {
            if (this.confirms.value) {
                const checked = check ? [await check()].flat() : []; // one row, or several
                const lines = [...summary, ...checked.map(positionText).filter(Boolean)];
                if (!(await ask(title, lines, this.isLive, side))) return false;
                if (fault()) return this.#refuse(fault()); // time has passed
            }
            await send();
            log("info", `${title}: ${summary.join("; ")}`.replace(/: $/, ""));
            return true;
        } catch (error) {
            log("error", `${title}: ${outcome(error)}`);
            return false;
        }
    }
}

function positionText(row) {
    if (row.PositionIfFilled === undefined) return "";
    return `Position ${row.PositionQuantity ?? 0}; if filled ${row.PositionIfFilled}`;
}

/** Return what is known after a failure, and what to do. */
function outcome(error) {
    if (error instanceof NoAnswer) return `${error.message} Look at the orders before you send it again.`;
    if (error.type === "OutcomeUnknown") return `${error.message} The order is listed as in doubt. Do not send it again.`;
    return error.message;
}
