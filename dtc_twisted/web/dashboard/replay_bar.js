// Show the clock of a replay, and control it: pause, speed, another time. Hidden while the gateway replays nothing.

import { byId, setText } from "./dom.js";
import { log } from "./log.js";
import { call } from "./rest.js";

const INTERVAL = 250; // milliseconds between two drawings of the clock

export class ReplayBar {
    #status; // Observable of the fields of /status
    #known = null; // the latest `replay` of the status
    #at = 0; // when it arrived, milliseconds of performance.now()
    #isMoved = false; // whether the user moves the slider

    constructor(status) {
        this.#status = status;
        byId("replay-pause").addEventListener("click", () => this.#send(this.#isPlaying ? "pause" : "resume"));
        byId("replay-speed").addEventListener("change", (event) => this.#send("speed", { speed: speedOf(event.target.value) }));
        byId("replay-time").addEventListener("input", () => {
            this.#isMoved = true;
            setText(byId("replay-clock"), clockText(Number(byId("replay-time").value)));
        });
        byId("replay-time").addEventListener("change", async (event) => {
            await this.#send("seek", { time: new Date(Number(event.target.value)).toISOString() });
            this.#isMoved = false;
        });
        status.observe((fields) => this.#show(fields?.replay ?? null));
        setInterval(() => this.#tick(), INTERVAL);
    }

    get #isPlaying() {
        return this.#known !== null && this.#known.state !== "paused" && this.#known.state !== "ended";
    }

    /** Take over the state that the gateway sent. */
    #show(replay) {
        byId("replay").hidden = replay === null;
        this.#known = replay;
        this.#at = performance.now();
        if (replay === null) return;
        setText(byId("replay-pause"), this.#isPlaying ? "Pause" : replay.state === "ended" ? "Play again" : "Play");
        const speed = byId("replay-speed");
        if (![...speed.options].some((option) => option.value === String(replay.speed))) speed.add(new Option(`${replay.speed} ×`, replay.speed));
        speed.value = String(replay.speed);
        const slider = byId("replay-time");
        slider.min = Date.parse(replay.from) + 1; // a Date has milliseconds, the replay's times microseconds
        slider.max = Date.parse(replay.to);
        this.#draw();
    }

    /** The gateway sends the clock when something else changes. Between, it runs here; at full speed it is asked for. */
    async #tick() {
        if (this.#known?.state !== "playing" || document.hidden) return;
        if (this.#known.speed !== "max") return this.#draw();
        if (performance.now() - this.#at < 1000) return;
        this.#at = performance.now();
        const fields = await call("GET", "/status").catch(() => null);
        if (fields?.replay) this.#show(fields.replay);
    }

    #draw() {
        if (this.#isMoved) return;
        const runs = this.#known.state === "playing" && this.#known.speed !== "max";
        const passed = runs ? (performance.now() - this.#at) * this.#known.speed : 0;
        const time = Math.min(Date.parse(this.#known.time) + passed, Date.parse(this.#known.to));
        byId("replay-time").value = time;
        byId("replay-time").setAttribute("aria-valuetext", clockText(time));
        setText(byId("replay-clock"), clockText(time));
    }

    async #send(action, body) {
        try {
            this.#show(await call("POST", `/replay/${action}`, { body }));
        } catch (error) {
            log("error", `Replay: ${error.message}`);
            this.#show(this.#status.value?.replay ?? null);
        }
    }
}

function speedOf(text) {
    return text === "max" ? text : Number(text);
}

/** Return a time as text, in UTC, as the gateway's options and paths take it. */
function clockText(milliseconds) {
    return `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
