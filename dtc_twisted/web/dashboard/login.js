// Ask for the token where the gateway has tokens. The token never enters a URL.

import { byId } from "./dom.js";
import { ApiError, call, session } from "./rest.js";

/** Return who the gateway takes this page for, {name, may_trade}. Asks for the token until one is accepted. */
export async function signIn() {
    for (let fault = ""; ; ) {
        try {
            return await call("GET", "/caller");
        } catch (error) {
            if (!(error instanceof ApiError && error.status === 401)) throw error;
            fault = session.token ? "The gateway does not accept this token." : "";
            session.token = "";
        }
        session.token = await askToken(fault);
    }
}

/** Forget the token, and begin again. */
export function signOut() {
    session.token = "";
    location.reload();
}

function askToken(fault) {
    const dialog = byId("login");
    const input = byId("token");
    byId("login-error").textContent = fault;
    dialog.oncancel = (event) => event.preventDefault();
    if (!dialog.open) dialog.showModal();
    return new Promise((resolve) => {
        dialog.onclose = () => {
            const token = input.value.trim();
            input.value = "";
            resolve(token);
        };
    });
}
