// Hold one WebSocket to /stream. Subscriptions survive reconnects: each new connection asks for all of them again, and
// those whose every message counts continue where they were.

import { Observable } from "./observable.js";
import { socketArguments } from "./rest.js";

const PING_INTERVAL = 5000; // milliseconds
const FIRST_DELAY = 250; // milliseconds until the first attempt to reconnect; doubles up to LONGEST_DELAY
const LONGEST_DELAY = 4000;
const SUSPENDED = 4000; // a timer of one second that is late by this did not run: the computer was suspended
const CONTINUED = new Set(["trades", "orders", "positions", "balances"]); // a snapshot has all that is shown of the others

export class Stream {
    #socket = null;
    #subscriptions = new Map(); // key -> {request, handler, id, position}; position: {epoch, seq} of the last message, or null
    #requests = 0; // the id of the last request
    #delay = FIRST_DELAY;
    #retry = 0;
    #pingSentAt = 0;
    #pongAt = 0;
    #tickedAt = 0;
    state = new Observable("closed"); // closed, connecting, open
    latency = new Observable(null); // milliseconds from ping to pong
    skipped = new Observable(0); // messages that the gateway left out, because this page read too slowly
    reconnects = new Observable(-1); // connections, the first not counted
    reason = ""; // why the last connection ended
    onRefused = () => {}; // called when a connection ended before it was open

    /** Connect, and reconnect from now on. */
    start() {
        this.#tickedAt = this.#pongAt = performance.now();
        setInterval(() => this.#tick(), 1000);
        document.addEventListener("visibilitychange", () => this.#seen());
        addEventListener("online", () => this.reconnect("the network is back"));
        this.#connect();
    }

    /**
     * Subscribe to a channel, and to a symbol if the channel has symbols.
     * The handler gets each message, and {event: "stale", reason} when the connection ends. Of the channels that continue, it
     * gets {event: "subscribed", resumed, missed} before the messages of each connection, and {event: "gap", missed} where the
     * gateway left messages out.
     * Return a function that ends the subscription.
     */
    subscribe(channel, symbol, options, handler) {
        const key = keyOf(channel, symbol);
        const request = { action: "subscribe", channel, ...(symbol && { symbol }), ...options };
        const subscription = { request, handler, id: 0, position: null };
        this.#subscriptions.set(key, subscription);
        this.#ask(subscription);
        return () => {
            if (this.#subscriptions.get(key)?.handler !== handler) return;
            this.#subscriptions.delete(key);
            this.#send({ action: "unsubscribe", channel, ...(symbol && { symbol }) });
        };
    }

    /** End the connection and make a new one at once. */
    reconnect(reason) {
        this.#lose(reason);
        this.#delay = FIRST_DELAY;
        this.#connect();
    }

    #connect() {
        clearTimeout(this.#retry);
        const socket = new WebSocket(...socketArguments("/stream"));
        this.#socket = socket;
        this.state.value = "connecting";
        let wasOpen = false;
        socket.onopen = () => {
            wasOpen = true;
            this.#delay = FIRST_DELAY;
            this.#pingSentAt = 0;
            this.#pongAt = performance.now();
            this.state.value = "open";
            this.reconnects.value += 1;
            for (const subscription of this.#subscriptions.values()) this.#ask(subscription);
            this.#ping();
        };
        socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
        socket.onclose = ({ code, reason }) => {
            if (socket !== this.#socket) return;
            this.#lose(reason || `the connection to the gateway ended (${code})`);
            if (!wasOpen) this.onRefused();
            this.#retry = setTimeout(() => this.#connect(), this.#delay);
            this.#delay = Math.min(2 * this.#delay, LONGEST_DELAY);
        };
    }

    #lose(reason) {
        const socket = this.#socket;
        this.#socket = null;
        socket?.close();
        if (this.state.value === "closed") return;
        this.reason = reason;
        this.state.value = "closed";
        for (const { handler } of [...this.#subscriptions.values()]) handler({ event: "stale", reason });
    }

    #ask(subscription) {
        subscription.id = ++this.#requests;
        const { request, id, position } = subscription;
        this.#send({ ...request, id, ...(position && { epoch: position.epoch, from_seq: position.seq + 1 }) });
    }

    #send(request) {
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
    }

    #receive(message) {
        if (message.action === "pong") {
            this.#pongAt = performance.now();
            this.latency.value = this.#pongAt - this.#pingSentAt;
            this.#pingSentAt = 0;
        } else if (message.event === "skipped") {
            this.skipped.value += message.messages;
        } else if (message.channel) {
            // Orders and positions have a Symbol too, but their channels have none.
            const symbol = message.symbol ?? message.Symbol;
            const subscription = this.#subscriptions.get(keyOf(message.channel, symbol)) ?? this.#subscriptions.get(message.channel);
            if (message.action === undefined) this.#pass(subscription, message);
            else if (message.action === "subscribe" && message.id === subscription?.id) this.#answered(subscription, message);
        }
    }

    #answered(subscription, { channel, success, error, epoch, seq, resumed = false, missed = null }) {
        if (!success) subscription.handler({ event: "ended", error });
        else if (CONTINUED.has(channel)) {
            // Trades begin with the reply, the other channels with the snapshot that follows.
            if (!resumed) subscription.position = channel === "trades" ? { epoch, seq } : null;
            subscription.handler({ event: "subscribed", resumed, missed });
        }
    }

    #pass(subscription, message) {
        if (subscription === undefined) return;
        if (message.seq !== undefined && CONTINUED.has(message.channel)) {
            const { position } = subscription;
            const missed = position && message.event === undefined ? message.seq - position.seq - 1 : 0;
            subscription.position = { epoch: message.epoch ?? position?.epoch, seq: message.seq };
            if (missed > 0) subscription.handler({ event: "gap", missed });
        }
        subscription.handler(message);
    }

    /** Ping, and find a connection that is open but dead, and a computer that was suspended. */
    #tick() {
        const now = performance.now();
        const late = now - this.#tickedAt;
        this.#tickedAt = now;
        if (this.state.value !== "open" || document.hidden) return;
        if (late > SUSPENDED) this.reconnect("this computer was suspended");
        else if (this.#pingSentAt && now - this.#pingSentAt > PING_INTERVAL) this.reconnect("the gateway does not answer");
        else if (!this.#pingSentAt && now - this.#pongAt > PING_INTERVAL) this.#ping();
    }

    #seen() {
        // Timers of hidden pages run rarely, so their delay means nothing.
        this.#tickedAt = performance.now();
        this.#pingSentAt = 0;
        if (!document.hidden) this.#ping();
    }

    #ping() {
        this.#pingSentAt = performance.now();
        this.#send({ action: "ping" });
    }
}

function keyOf(channel, symbol) {
    return symbol ? `${channel} ${symbol}` : channel;
}
