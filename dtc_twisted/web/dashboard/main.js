// Put the dashboard together. It uses the public API only: see /docs, docs/rest.md, docs/stream.md.

import { Accounts } from "./accounts.js";
import { Blotter } from "./blotter.js";
import { Chart } from "./chart.js";
import { Commands } from "./commands.js";
import { byId } from "./dom.js";
import { EventLog } from "./event_log.js";
import { listenToKeys, showKeys } from "./keyboard.js";
import { Ladder } from "./ladder.js";
import { log } from "./log.js";
import { signIn, signOut } from "./login.js";
import { Market } from "./market.js";
import { Observable, stored } from "./observable.js";
import { ReplayBar } from "./replay_bar.js";
import { ApiError, call, session } from "./rest.js";
import { StatusBar } from "./status_bar.js";
import { Stream } from "./stream.js";
import { SymbolSearch } from "./symbol_search.js";
import { Tape } from "./tape.js";
import { Ticket } from "./ticket.js";
import { Trades } from "./trades.js";
import { Trading } from "./trading.js";
import { WatchList } from "./watch_list.js";

const RETRY = 1000; // milliseconds

const stream = new Stream();
const status = new Observable(null); // the fields of /status; null while they are not known
const caller = new Observable({ name: "", may_trade: false });
const selected = stored("selected", ""); // the symbol of chart, depth, trades and ticket
const market = new Market(stream);
const accounts = new Accounts(stream);
const trading = new Trading({ stream, status, caller, market, accounts });

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

/** Return the symbols of a first visit: those of positions and open orders, and those that the gateway serves already. */
async function firstSymbols() {
    const answers = ["/status", "/positions", "/orders"].map((path) => call("GET", path).catch(() => []));
    const [state, positions, orders] = await Promise.all(answers);
    const symbols = [...positions, ...orders].map((row) => row.Symbol);
    return [...new Set([...symbols, ...(state.symbols ?? [])])].filter(Boolean);
}

async function loadAccounts(ticket) {
    try {
        const names = (await call("GET", "/tradeaccounts")).map((row) => row.TradeAccount).filter(Boolean);
        ticket.accounts = names;
        ticket.draw();
        await accounts.loadFills(names);
    } catch (error) {
        log("info", `Accounts and fills: ${error.message}`);
    }
}

function makePanels() {
    new StatusBar(stream, status);
    new ReplayBar(status);
    new EventLog({ stream, status, accounts });
    const watchList = new WatchList(market, selected);
    const search = new SymbolSearch((symbol) => watchList.add(symbol));
    const trades = new Trades(stream, selected);
    const chart = new Chart({ market, accounts, trades, selected });
    const ticket = new Ticket({ trading, market, selected });
    const ladder = new Ladder({ stream, market, accounts, trading, ticket, selected });
    new Tape({ trades, market, selected });
    const blotter = new Blotter({ accounts, market, trading, ticket, selected, status });
    const commands = new Commands({ trading, status, ticket, redraw: [ticket.draw, ladder.draw, () => blotter.redraw()] });
    const orderControls = [stream.state, status, caller];
    for (const each of orderControls) each.observe(() => commands.draw());
    const intervals = Object.fromEntries([1, 2, 3, 4, 5, 6].map((number) => [number, () => chart.choose(number - 1)]));
    const tables = { o: "orders", p: "positions", a: "balances", f: "fills", l: "log" };
    const tabs = Object.fromEntries(Object.entries(tables).map(([key, name]) => [key, () => blotter.open(name)]));
    listenToKeys({
        ...intervals,
        ...tabs,
        "/": () => search.focus(),
        "?": showKeys,
        w: () => watchList.focus(),
        c: () => chart.focus(),
        d: () => byId("ladder").focus(),
        t: () => ticket.focus(),
        X: () => trading.isAllowed && trading.cancelAll(ticket.account),
    });
    return { watchList, ticket };
}

async function start() {
    byId("sign-out").addEventListener("click", signOut);
    byId("show-keys").addEventListener("click", showKeys);
    const { watchList, ticket } = makePanels();
    stream.start(); // without a token it fails where one is needed, and connects again below
    const token = session.token;
    await identify();
    if (session.token !== token) stream.reconnect("signed in");
    stream.onRefused = () => {
        // The connection failed: the gateway is away, or it does not accept the token any more.
        call("GET", "/caller").catch((error) => error instanceof ApiError && error.status === 401 && signOut());
    };
    if (watchList.symbols.value === null) watchList.symbols.value = await firstSymbols();
    if (!selected.value) selected.value = watchList.symbols.value[0] ?? "";
    status.observe((fields) => fields?.state === "ready" && !ticket.account && loadAccounts(ticket));
}

start();
