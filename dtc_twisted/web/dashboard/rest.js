// Call the REST API. The token, if the gateway has tokens, is kept in sessionStorage: it ends with the tab.

const PREFIX = "/api/v1";
const TOKEN = "dtc_twisted.token";

export const session = {
    get token() {
        return sessionStorage.getItem(TOKEN) ?? "";
    },
    set token(token) {
        if (token) sessionStorage.setItem(TOKEN, token);
        else sessionStorage.removeItem(TOKEN);
    },
};

/** An answer of the gateway that is no success; docs/rest.md lists the types. */
export class ApiError extends Error {
    constructor(status, answer) {
        super(answer?.error?.message ?? `The gateway answered with status ${status}.`);
        this.status = status;
        this.type = answer?.error?.type ?? "";
        this.answer = answer;
    }
}

/** The gateway did not answer: it is not known whether it has the request. */
export class NoAnswer extends Error {}

/** Send a request and return the Response. Raises ApiError or NoAnswer. */
async function send(method, path, { query = {}, body } = {}) {
    const headers = {};
    if (session.token) headers.Authorization = `Bearer ${session.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const parameters = new URLSearchParams(query).toString();
    const response = await fetch(`${PREFIX}${path}${parameters && "?"}${parameters}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
    }).catch((error) => {
        throw new NoAnswer("The gateway does not answer.", { cause: error });
    });
    if (response.ok) return response;
    throw new ApiError(response.status, await response.json().catch(() => undefined));
}

/** Send a request and return the JSON of the answer. */
export async function call(method, path, options) {
    return (await send(method, path, options)).json();
}

/** Return the rows of a long answer. Raises ApiError also if the answer broke off: its last row is the error. */
export async function rows(path, query) {
    const text = await (await send("GET", path, { query: { ...query, format: "ndjson" } })).text();
    const found = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const last = found.at(-1);
    if (last?.error) throw new ApiError(last.error.status, last);
    return found;
}

/** Return the URL of a WebSocket, and its subprotocols: a browser can send a token there only. */
export function socketArguments(path) {
    const url = new URL(PREFIX + path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return [url.href, session.token ? ["dtc", `bearer.${session.token}`] : ["dtc"]];
}
