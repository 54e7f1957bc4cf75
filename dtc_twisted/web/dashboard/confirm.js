// Ask before an order is sent.

import { byId, make } from "./dom.js";

/** Show what would be sent. Return whether the user confirmed it. */
export function ask(title, lines, isLive) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = isLive ? `LIVE ACCOUNT: ${title}` : title;
    byId("confirm-lines").replaceChildren(...lines.map((text) => make("li", { text })));
    byId("confirm-yes").textContent = title.split(",")[0];
    if (dialog.open) return Promise.resolve(false); // one question at a time
    dialog.returnValue = "";
    dialog.showModal();
    byId("confirm-yes").focus();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
