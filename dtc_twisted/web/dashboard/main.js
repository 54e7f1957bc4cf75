// Put the dashboard together. It uses the public API only: see /docs, docs/rest.md, docs/stream.md.

import { byId } from "./dom.js";
import { signIn, signOut } from "./login.js";
import { Market } from "./market.js";
import { Observable, stored } from "./observable.js";
import { ApiError, call, session } from "./rest.js";
import { StatusBar } from "./status_bar.js";
import { Stream } from "./stream.js";
import { SymbolSearch } from "./symbol_search.js";
import { WatchList } from "./watch_list.js";

const RETRY = 1000; // milliseconds

const stream = new Stream();
const market = new Market(stream);
const status = new Observable(null);
const caller = new Observable({ name: "", may_trade: false });
const selected = stored("selected", "");

/** Sign in; while the gateway is away, try again. */
async function identify() {
    for (;;) {
        try {
            caller.value = await signIn();
            byId("sign-out").hidden = !session.token;
            return;
        } catch (error) {
            console.warn(error);
            await new Promise((resolve) => setTimeout(resolve, RETRY));
        }
    }
}

/** Return the symbols of a first visit: those with positions and open orders, and those the gateway serves already. */
async function firstSymbols() {
    const [state, positions, orders] = await Promise.all(
        ["/status", "/positions", "/orders"].map((path) => call("GET", path).catch(() => [])),
    );
    const symbols = [...(state.symbols ?? []), ...positions.map((row) => row.Symbol), ...orders.map((row) => row.Symbol)];
    return [...new Set(symbols.filter(Boolean))];
}

async function start() {
    byId("sign-out").addEventListener("click", signOut);
    await identify();
    new StatusBar(stream, status);
    const watchList = new WatchList(market, selected);
    new SymbolSearch((symbol) => watchList.add(symbol));
    stream.onRefused = () => {
        // The connection failed: the gateway is away, or it does not accept the token any more.
        call("GET", "/caller").catch((error) => error instanceof ApiError && error.status === 401 && signOut());
    };
    stream.start();
    if (watchList.symbols.value === null) watchList.symbols.value = await firstSymbols();
    if (!selected.value) selected.value = watchList.symbols.value[0] ?? "";
}

start();
