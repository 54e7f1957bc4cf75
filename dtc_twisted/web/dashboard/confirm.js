// Ask before an order is sent.

import { byId, make } from "./dom.js";

/** Show what would be sent. side: "buy", "sell" or empty. Return whether the user confirmed it. */
export function ask(title, lines, isLive, side = "") {
    const dialog = byId("confirm");
    if (dialog.open) return Promise.resolve(false); // one question at a time: its text must be what is sent
    byId("confirm-title").textContent = isLive ? `LIVE ACCOUNT: ${title}` : title;
    byId("confirm-lines").replaceChildren(...lines.map((text) => make("li", { text })));
    byId("confirm-yes").textContent = title.split(",")[0];
    byId("confirm-yes").className = side;
    dialog.returnValue = "";
    dialog.showModal();
    byId("confirm-yes").focus();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
