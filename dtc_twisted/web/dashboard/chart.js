// Show the chart of the selected symbol, with own orders, fills and the position.

import { Bars, INTERVALS } from "./bars.js";
import { ChartCanvas } from "./chart_canvas.js";
import { byId, make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";
import { quantity, shortNumber } from "./numbers.js";
import { stored } from "./observable.js";
import { BUY, remaining, sideTitle, typeTitle } from "./orders.js";

const FEWEST = 20; // bars shown
const DAY = 86400;
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "2-digit" });
const DATE_CLOCK = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });

export class Chart {
    #market;
    #accounts;
    #selected;
    #canvas = byId("chart");
    #drawing = new ChartCanvas(this.#canvas);
    #interval = stored("interval", "1m");
    #bars = null;
    #count = stored("bars", 140); // bars shown
    #back = 0; // bars between the last one and the right edge; 0: follow the market
    #cursor = null;
    #dragged = null;
    #stop = () => {};

    constructor({ market, accounts, trades, selected }) {
        this.#market = market;
        this.#accounts = accounts;
        this.#selected = selected;
        if (!(this.#interval.value in INTERVALS)) this.#interval.value = "1m";
        this.#addIntervals();
        new ResizeObserver(() => this.#fit()).observe(this.#canvas);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#fit());
        this.#listen();
        accounts.observe(() => frames.schedule(this.draw));
        trades.observe((trade) => this.#bars?.add(trade), () => this.#bars?.load());
        this.#interval.observe(() => this.#bars && this.load());
        selected.observe((symbol) => {
            this.#stop();
            this.#stop = symbol ? market.watch(symbol, () => frames.schedule(this.draw)) : () => {};
            this.load();
        });
    }

    /** Choose an interval by its number, from 0. */
    choose(number) {
        this.#interval.value = Object.keys(INTERVALS)[number] ?? this.#interval.value;
    }

    focus() {
        this.#canvas.focus();
    }

    load() {
        this.#back = 0;
        const symbol = this.#selected.value;
        this.#bars = symbol ? new Bars(symbol, this.#interval.value, () => frames.schedule(this.draw)) : null;
        this.#bars?.load();
    }

    #addIntervals() {
        const buttons = Object.keys(INTERVALS).map((name) =>
            make("button", { type: "button", text: name, on: { click: () => (this.#interval.value = name) } }),
        );
        byId("intervals").replaceChildren(...buttons);
        this.#interval.observe((name) => buttons.forEach((each) => each.setAttribute("aria-pressed", String(each.textContent === name))));
    }

    #fit() {
        this.#drawing.fit();
        frames.schedule(this.draw);
    }

    draw = () => {
        const quote = this.#market.quote(this.#selected.value);
        const instrument = quote?.instrument;
        setText(byId("chart-title"), this.#selected.value || "Chart");
        setText(byId("chart-description"), instrument?.description ?? "");
        setText(byId("chart-fault"), this.#bars?.fault ? `no history: ${this.#bars.fault}` : quote?.stale ? `stale: ${quote.stale}` : "");
        setClass(this.#canvas, quote?.stale ? "stale" : "");
        const bars = this.#bars?.bars ?? [];
        const first = bars.length - this.#count.value - this.#back + 2; // two bars of space at the right
        const bar = this.#drawing.draw({
            bars,
            first,
            count: this.#count.value,
            lines: instrument ? this.#lines(instrument, quote) : [],
            fills: instrument ? this.#fills(instrument) : [],
            cursor: this.#cursor,
            format: (price) => (instrument ? instrument.text(price) : price.toFixed(2)),
            timeText: (time) => this.#timeText(time),
        });
        setText(byId("chart-values"), bar && instrument ? this.#values(bar, instrument) : "");
    };

    #values(bar, instrument) {
        const prices = ["open", "high", "low", "close"].map((name) => `${name[0].toUpperCase()} ${instrument.text(bar[name])}`);
        return [this.#timeText(bar.time), ...prices, `V ${shortNumber(bar.volume)}`].join("  ");
    }

    #timeText(time) {
        const { length } = INTERVALS[this.#interval.value];
        const format = length >= DAY ? DATE : length >= 3600 ? DATE_CLOCK : length < 60 ? CLOCK_SECONDS : CLOCK;
        return format.format(time * 1000);
    }

    #lines(instrument, quote) {
        const symbol = this.#selected.value;
        const orders = this.#accounts.openOrders.filter((order) => order.Symbol === symbol && order.Price1 !== undefined);
        const positions = [...this.#accounts.positions.values()].filter((each) => each.Symbol === symbol && each.AveragePrice);
        return [
            ...(quote.last === undefined ? [] : [{ price: quote.last, text: "", kind: "last" }]),
            ...positions.map((each) => ({
                price: instrument.display(each.AveragePrice),
                text: `${each.Quantity > 0 ? "long" : "short"} ${quantity(Math.abs(each.Quantity))}`,
                kind: "position",
            })),
            ...orders.map((order) => ({
                price: instrument.display(order.Price1),
                text: `${sideTitle(order)} ${quantity(remaining(order))} ${typeTitle(order).toLowerCase()}`,
                kind: order.BuySell === BUY ? "buy" : "sell",
            })),
        ];
    }

    #fills(instrument) {
        const fills = [...this.#accounts.fills.values()].filter((fill) => fill.Symbol === this.#selected.value);
        return fills.map((fill) => ({ time: fill.DateTime, price: instrument.display(fill.Price), isBuy: fill.BuySell === BUY }));
    }

    #listen() {
        const draw = () => frames.schedule(this.draw, true);
        const zoom = (factor) => {
            const most = Math.max(FEWEST, (this.#bars?.bars.length ?? 0) + 2);
            this.#count.value = Math.round(Math.min(most, Math.max(FEWEST, this.#count.value * factor)));
            draw();
        };
        const scroll = (bars) => {
            const most = Math.max(0, (this.#bars?.bars.length ?? 0) - FEWEST);
            this.#back = Math.min(most, Math.max(0, this.#back + bars));
            draw();
        };
        this.#canvas.addEventListener("pointermove", (event) => {
            this.#cursor = { x: event.offsetX, y: event.offsetY };
            if (this.#dragged !== null) {
                const bars = Math.trunc(((event.offsetX - this.#dragged) / this.#canvas.clientWidth) * this.#count.value);
                if (bars) this.#dragged = event.offsetX;
                scroll(bars);
            }
            draw();
        });
        this.#canvas.addEventListener("pointerdown", (event) => (this.#dragged = event.offsetX));
        addEventListener("pointerup", () => (this.#dragged = null));
        this.#canvas.addEventListener("pointerleave", () => {
            this.#cursor = null;
            draw();
        });
        this.#canvas.addEventListener("wheel", (event) => {
            event.preventDefault();
            zoom(event.deltaY > 0 ? 1.1 : 1 / 1.1);
        }, { passive: false });
        this.#canvas.addEventListener("keydown", (event) => {
            const actions = { ArrowLeft: () => scroll(5), ArrowRight: () => scroll(-5), "+": () => zoom(1 / 1.2), "-": () => zoom(1.2), End: () => scroll(-Infinity) };
            if (!(event.key in actions)) return;
            actions[event.key]();
            event.preventDefault();
        });
    }
}
