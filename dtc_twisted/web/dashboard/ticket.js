// The order ticket: one order, an OCO pair, or a bracket.

import { byId, make, setText } from "./dom.js";
import { frames } from "./frames.js";
import { instrumentOf } from "./instruments.js";
import { stored } from "./observable.js";
import { ORDER_TYPES, TIMES_IN_FORCE, idOf } from "./orders.js";

const PATHS = { single: "/orders", oco: "/orders/oco", bracket: "/orders/bracket" };
const PRICES = ["price", "price2", "price_2", "price2_2", "target", "stop"];
const OPPOSITE = { BUY: "SELL", SELL: "BUY" };

export class Ticket {
    #trading;
    #market;
    #selected;
    #changed = null; // the order that is being changed
    #form = byId("ticket");
    #account = stored("account", "");

    constructor({ trading, market, selected }) {
        this.#trading = trading;
        this.#market = market;
        this.#selected = selected;
        for (const name of ["type", "type_2"]) fill(this.#field(name), ORDER_TYPES);
        fill(this.#field("time"), TIMES_IN_FORCE);
        this.#field("type_2").value = "STOP";
        this.#form.addEventListener("submit", (event) => {
            event.preventDefault();
            this.#send(event.submitter?.value);
        });
        this.#form.addEventListener("change", () => this.draw());
        this.#form.addEventListener("input", this.#drawMarket);
        this.#form.addEventListener("keydown", (event) => this.#startAtMarket(event));
        this.#field("account").addEventListener("change", () => (this.#account.value = this.#field("account").value));
        byId("ticket-new").addEventListener("click", () => this.#end());
        byId("confirms").addEventListener("change", ({ target }) => (trading.confirms.value = target.checked));
        let stop = () => {};
        selected.observe((symbol) => {
            stop();
            stop = symbol ? market.watch(symbol, () => frames.schedule(this.#drawMarket)) : () => {};
            this.#end();
        });
    }

    set accounts(names) {
        const select = this.#field("account");
        select.replaceChildren(...names.map((name) => make("option", { value: name, text: name })));
        select.value = names.includes(this.#account.value) ? this.#account.value : names[0] ?? "";
    }

    get account() {
        return this.#field("account").value;
    }

    /** Put the keyboard into the ticket. */
    focus() {
        this.#field("quantity").focus();
        this.#field("quantity").select();
    }

    /** Place an order of the ticket's quantity, account and time in force, as the ladder does. price: a display price. */
    async place(type, side, price) {
        const order = { ...this.#common(), OrderType: type, BuySell: side, Quantity: this.#number("quantity"), Price1: price };
        if (type === "STOP_LIMIT") order.Price2 = price;
        await this.#trading.submit(PATHS.single, order, this.#summary(order), order.Symbol);
    }

    /** Show an order to change its prices and its quantity. */
    async change(order) {
        this.#selected.value = order.Symbol;
        const instrument = await this.#instrument();
        this.#changed = order;
        this.#field("kind").value = "single";
        const [type] = Object.entries(ORDER_TYPES).find(([, { number }]) => number === order.OrderType) ?? ["LIMIT"];
        this.#field("type").value = type;
        this.#field("quantity").value = order.OrderQuantity;
        this.#field("price").value = order.Price1 === undefined ? "" : instrument.text(instrument.display(order.Price1));
        this.#field("price2").value = order.Price2 === undefined ? "" : instrument.text(instrument.display(order.Price2));
        this.draw();
        this.focus();
    }

    /** Show the fields that the kind and the types of orders need, and what can be sent. */
    draw = () => {
        const kind = this.#field("kind").value;
        const isChange = this.#changed !== null;
        const symbol = this.#selected.value;
        const quote = this.#market.quote(symbol);
        const isBracket = kind === "bracket";
        this.#form.hidden = !this.#trading.isAllowed;
        byId("no-ticket").hidden = this.#trading.isAllowed;
        setText(byId("ticket-symbol"), isChange ? `Change ${idOf(this.#changed)}` : symbol);
        const count = ORDER_TYPES[this.#field("type").value].prices;
        const count2 = kind === "oco" ? ORDER_TYPES[this.#field("type_2").value].prices : 0;
        this.#show({ price: count > 0, price2: count > 1, type_2: kind === "oco", price_2: count2 > 0, price2_2: count2 > 1 });
        this.#show({ target: isBracket, stop: isBracket, until: this.#field("time").value === "GOOD_TILL_DATE_TIME" });
        for (const name of ["kind", "type", "time", "account"]) this.#field(name).disabled = isChange;
        setText(byId("price-name"), this.#field("type").value.startsWith("STOP") ? "Stop price" : "Price");
        for (const name of PRICES)
            this.#field(name).step = quote?.instrument?.tick || "any";
        for (const id of ["buy", "sell"]) byId(id).hidden = isChange;
        byId("send-change").hidden = byId("ticket-new").hidden = !isChange;
        this.#drawMarket();
    };

    /** Show on the buttons what they send, and the market; and whether orders can be sent now. */
    #drawMarket = () => {
        const symbol = this.#selected.value;
        const quote = this.#market.quote(symbol);
        const fault = this.#trading.orderFault(symbol);
        const text = (price) => quote?.instrument?.text(price) ?? "";
        for (const [id, side, name] of [["buy", "Buy", "ask"], ["sell", "Sell", "bid"]]) {
            byId(id).disabled = Boolean(fault);
            const [what, market] = byId(id).children;
            setText(what, `${side} ${this.#what()}`);
            setText(market, quote?.[name] === undefined ? "" : `${name} ${text(quote[name])}`);
        }
        for (const name of PRICES) this.#field(name).placeholder = text(quote?.last);
        byId("send-change").disabled = Boolean(fault);
        setText(byId("ticket-fault"), fault ? `No orders: ${fault}.` : "");
    };

    /** Return quantity, type and price, or the kind, as text. */
    #what() {
        const kind = this.#field("kind");
        const type = ORDER_TYPES[this.#field("type").value];
        const price = type.prices ? this.#field("price").value : "";
        const what = kind.value === "single" ? type.title.toLowerCase() : kind.selectedOptions[0].text;
        return [this.#field("quantity").value, what, price].filter(Boolean).join(" ");
    }

    /** An arrow key in an empty field of a price begins at the last price. */
    #startAtMarket(event) {
        const { name, value, placeholder } = event.target;
        if (!PRICES.includes(name) || value || !placeholder || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
        event.target.value = placeholder;
        event.preventDefault();
        this.#drawMarket();
    }

    async #send(side) {
        if (this.#changed !== null) return this.#sendChange();
        const kind = this.#field("kind").value;
        const order = { ...this.#common(), ...this.#leg("", "type", "price", "price2", side) };
        let body = { ...order, Quantity: this.#number("quantity") };
        let summary = this.#summary(body);
        if (kind === "oco") {
            const Quantity = this.#number("quantity");
            const first = this.#leg("_1", "type", "price", "price2", side);
            const second = this.#leg("_2", "type_2", "price_2", "price2_2", side);
            body = { ...this.#common(), ...first, ...second, Quantity_1: Quantity, Quantity_2: Quantity };
            summary = [...this.#summary(body, "_1"), "one cancels the other", ...this.#summary(body, "_2")];
        } else if (kind === "bracket") {
            const exit = OPPOSITE[side];
            const target = { OrderType_1: "LIMIT", BuySell_1: exit, Price1_1: this.#number("target") };
            const Children = { ...target, OrderType_2: "STOP", BuySell_2: exit, Price1_2: this.#number("stop") };
            summary = [...summary, `then target ${Children.Price1_1}, stop ${Children.Price1_2}`];
            body = { Parent: body, Children };
        }
        await this.#trading.submit(PATHS[kind], body, summary, order.Symbol);
    }

    async #sendChange() {
        const changes = { Quantity: this.#number("quantity") };
        const { prices } = ORDER_TYPES[this.#field("type").value];
        if (prices > 0) changes.Price1 = this.#number("price");
        if (prices > 1) changes.Price2 = this.#number("price2");
        if (await this.#trading.replace(this.#changed, changes)) this.#end();
    }

    #end() {
        this.#changed = null;
        this.draw();
    }

    #leg(suffix, type, price, price2, side) {
        const count = ORDER_TYPES[this.#field(type).value].prices;
        const leg = { [`OrderType${suffix}`]: this.#field(type).value, [`BuySell${suffix}`]: side };
        if (count > 0) leg[`Price1${suffix}`] = this.#number(price);
        if (count > 1) leg[`Price2${suffix}`] = this.#number(price2);
        return leg;
    }

    #common() {
        const common = { Symbol: this.#selected.value, TradeAccount: this.account, TimeInForce: this.#field("time").value };
        const until = this.#field("until").value;
        if (common.TimeInForce === "GOOD_TILL_DATE_TIME" && until) common.GoodTillDateTime = new Date(until).toISOString();
        return common;
    }

    #summary(order, suffix = "") {
        const price = ["Price1", "Price2"].map((name) => order[name + suffix]).filter((each) => each !== undefined && each !== null);
        const type = ORDER_TYPES[order[`OrderType${suffix}`]].title.toLowerCase();
        const at = price.length ? ` at ${price.join(" / ")}` : "";
        const side = order[`BuySell${suffix}`] === "BUY" ? "Buy" : "Sell";
        const time = TIMES_IN_FORCE[order.TimeInForce].title;
        return [`${side} ${order[`Quantity${suffix}`]} ${order.Symbol}, ${type}${at}, ${time}, account ${order.TradeAccount}`];
    }

    async #instrument() {
        return instrumentOf(this.#selected.value);
    }

    #show(fields) {
        for (const [name, isShown] of Object.entries(fields)) {
            this.#field(name).closest("label").hidden = !isShown;
            this.#field(name).disabled = !isShown;
            this.#field(name).required = isShown;
        }
    }

    #number(name) {
        const { value } = this.#field(name);
        return value === "" ? undefined : Number(value);
    }

    #field(name) {
        return this.#form.elements.namedItem(name);
    }
}

function fill(select, choices) {
    select.replaceChildren(...Object.entries(choices).map(([value, { title }]) => make("option", { value, text: title })));
    select.value = Object.keys(choices)[select.name.startsWith("type") ? 1 : 0];
}
