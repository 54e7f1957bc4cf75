// Show the state of the gateway at the top of the page: connection, trade mode, latency, counters.

import { byId, make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";

const SUBSCRIBED = "the gateway has not sent its state yet";
const STATES = {
    connecting: "connecting to the server",
    logging_on: "logging on to the server",
    waiting: "the server is away",
    refused: "the server refuses the logon",
    stopped: "the gateway is stopping",
};

export class StatusBar {
    #stream;
    #status; // Observable of the fields of /status, null without a connection to the gateway
    #facts = new Map(); // name -> element of its value

    constructor(stream, status) {
        this.#stream = stream;
        this.#status = status;
        const draw = () => frames.schedule(this.draw);
        stream.subscribe("status", undefined, {}, (message) => (status.value = message.event ? null : message));
        for (const each of [status, stream.state, stream.latency, stream.skipped]) each.observe(draw);
        frames.onThrottle = draw;
    }

    draw = () => {
        const status = this.#status.value;
        const isOpen = this.#stream.state.value === "open";
        const isReady = isOpen && status?.state === "ready";
        const text = !isOpen ? "the gateway is away" : !status ? SUBSCRIBED : isReady ? "connected" : STATES[status.state] ?? status.state;
        setText(byId("connection"), text);
        setClass(byId("connection"), `connection ${isReady ? "good" : "bad"}`);
        byId("connection").title = status?.reason ?? "";
        if (status) this.#drawMode(status.trade_mode);
        this.#fact("Server", status?.server_name || "");
        this.#fact("Latency", this.#stream.latency.value === null ? "" : `${this.#stream.latency.value.toFixed(1)} ms`);
        this.#fact("Reconnects", status ? String(status.reconnects + Math.max(0, this.#stream.reconnects.value)) : "");
        this.#fact("Subscribers", status ? String(status.subscribers) : "");
        this.#fact("Skipped", this.#stream.skipped.value ? String(this.#stream.skipped.value) : "");
        this.#fact("Drawing", frames.isThrottled ? "throttled to 10/s" : "");
    };

    /** A live account must not be mistaken for a simulated one: the whole page gets another frame. */
    #drawMode(mode) {
        const isLive = mode.startsWith("live");
        document.documentElement.dataset.mode = isLive ? "live" : "simulated";
        byId("mode").hidden = false;
        setText(byId("mode"), isLive ? "LIVE ACCOUNT" : "Simulated");
        byId("mode").title = `trade mode: ${mode}`;
    }

    #fact(name, value) {
        let element = this.#facts.get(name);
        if (element === undefined) {
            element = make("dd");
            this.#facts.set(name, element);
            byId("facts").append(make("div", { "data-fact": name }, make("dt", { text: name }), element));
        }
        setText(element, value);
        element.parentElement.hidden = !value;
    }
}
