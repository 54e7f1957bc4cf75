// Keep the log of events, and show what the user must see at once.

import { byId, make } from "./dom.js";
import { Observable } from "./observable.js";

const MOST = 500;
const SHOWN = 8000; // milliseconds

/** The latest entries, newest first: {at (seconds since 1970), level, text}. */
export const entries = new Observable([]);

/** Add an entry. level: "info", "warning" or "error"; the latter two are shown on the page for a while. */
export function log(level, text) {
    entries.value = [{ at: Date.now() / 1000, level, text }, ...entries.value.slice(0, MOST - 1)];
    if (level !== "info") show(level, text);
}

function show(level, text) {
    const notice = make("div", { class: level }, make("span", { text }));
    const close = make("button", { type: "button", "aria-label": "Close", text: "×", on: { click: () => notice.remove() } });
    notice.append(close);
    byId("notices").prepend(notice);
    while (byId("notices").children.length > 4) byId("notices").lastChild.remove();
    setTimeout(() => notice.remove(), SHOWN);
}
