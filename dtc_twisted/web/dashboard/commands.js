// The commands for whole accounts: cancel all, flatten, halt and resume.

import { byId, setText } from "./dom.js";

export class Commands {
    #trading;
    #status;
    #redraw;

    /** redraw: functions that draw the other order controls, which depend on the same state. */
    constructor({ trading, status, ticket, redraw }) {
        this.#trading = trading;
        this.#status = status;
        this.#redraw = redraw;
        byId("cancel-all").addEventListener("click", () => trading.cancelAll(ticket.account));
        byId("flatten").addEventListener("click", () => trading.flatten(ticket.account));
        byId("halt").addEventListener("click", () => (this.#isHalted ? trading.resume() : trading.halt()));
    }

    get #isHalted() {
        return Boolean(this.#status.value?.trading?.halted);
    }

    draw() {
        const fault = this.#trading.cancelFault();
        byId("commands").hidden = byId("confirms-label").hidden = !this.#trading.isAllowed;
        for (const id of ["cancel-all", "flatten", "halt"]) {
            byId(id).disabled = Boolean(fault);
            byId(id).title = fault;
        }
        setText(byId("halt"), this.#isHalted ? "Resume" : "Halt");
        for (const draw of this.#redraw) draw();
    }
}
