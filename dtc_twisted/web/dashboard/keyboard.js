// Go to each part of the page with one key. Keys in fields and with Ctrl or Alt are left alone.

import { byId } from "./dom.js";
import { stored } from "./observable.js";

const areOn = stored("keys", true);

/** actions: key -> function. */
export function listenToKeys(actions) {
    areOn.observe((value) => (byId("use-keys").checked = value));
    byId("use-keys").addEventListener("change", ({ target }) => (areOn.value = target.checked));
    document.addEventListener("keydown", (event) => {
        if (!areOn.value || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
        if (event.target.closest("input, select, textarea")) {
            if (event.key === "Escape") event.target.blur();
            return;
        }
        const action = actions[event.key];
        if (action === undefined) return;
        event.preventDefault();
        action();
    });
}

/** Show the list of keys. */
export function showKeys() {
    byId("keys").showModal();
}
