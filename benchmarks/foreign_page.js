// What a page of another origin can try. Evaluated in that page; `probe`, `command`, `press` and `times` are its methods.

const WAIT = 1500; // milliseconds after which nothing more will happen

const eventOf = (element, parent = document.body) =>
    new Promise((resolve) => {
        const timer = setTimeout(() => resolve("nothing"), WAIT);
        const end = (text) => {
            clearTimeout(timer);
            resolve(text);
        };
        for (const name of ["load", "error", "loadedmetadata"]) element.addEventListener(name, () => end(name));
        parent.append(element);
    });

const element = (name, properties) => Object.assign(document.createElement(name), properties);

const attempt = async (work) => {
    try {
        return String(await work());
    } catch (error) {
        return `${error.name}`;
    }
};

const socketOutcome = (url, text) =>
    new Promise((resolve) => {
        const socket = new WebSocket(url, ["dtc"]);
        const seen = [];
        socket.onopen = () => {
            seen.push("open");
            socket.send(text);
        };
        socket.onmessage = (event) => seen.push(event.data);
        socket.onclose = (event) => resolve([...seen, `closed ${event.code}`].join(" "));
        setTimeout(() => resolve([...seen, "nothing"].join(" ")), WAIT);
    });

const frameOutcome = async (frame) => {
    const happened = await eventOf(frame);
    let inside = "closed";
    try {
        inside = `readable: ${frame.contentDocument ? frame.contentDocument.body.textContent.slice(0, 200) : "null"}`;
    } catch (error) {
        inside = error.name;
    }
    const frames = frame.contentWindow ? frame.contentWindow.length : "none";
    frame.remove();
    return `${happened}, ${inside}, ${frames} frames`;
};

// Each returns a text, in which nothing of the answer may be found.
const ways = {
    fetch: (url) => attempt(async () => (await fetch(url)).text()),
    "fetch with credentials": (url) => attempt(async () => (await fetch(url, { credentials: "include" })).text()),
    "fetch with a token header": (url) =>
        attempt(async () => (await fetch(url, { headers: { Authorization: "Bearer guessed-0123456789" } })).text()),
    "fetch without CORS": (url) => attempt(async () => `${(await fetch(url, { mode: "no-cors" })).type}`),
    "fetch by a redirect": (url) =>
        attempt(async () => `${(await fetch(`/redirect?to=${encodeURIComponent(url)}`, { mode: "no-cors" })).type}`),
    script: (url) => eventOf(element("script", { src: url })),
    "script of CORS": (url) => eventOf(element("script", { src: url, crossOrigin: "anonymous" })),
    module: (url) => attempt(async () => Object.keys(await import(url))),
    style: (url) => eventOf(element("link", { rel: "stylesheet", href: url }), document.head),
    preload: (url) => eventOf(element("link", { rel: "preload", as: "fetch", href: url }), document.head),
    prefetch: (url) => eventOf(element("link", { rel: "prefetch", href: url }), document.head),
    image: (url) => eventOf(element("img", { src: url })),
    audio: (url) => eventOf(element("audio", { src: url })),
    video: (url) => eventOf(element("video", { src: url })),
    track: (url) => {
        const video = element("video", {});
        document.body.append(video);
        const track = element("track", { src: url, default: true });
        const outcome = eventOf(track, video);
        track.track.mode = "showing";
        return outcome;
    },
    object: (url) => eventOf(element("object", { data: url })),
    embed: (url) => eventOf(element("embed", { src: url })),
    frame: (url) => frameOutcome(element("iframe", { src: url })),
    "frame in a sandbox": (url) => frameOutcome(element("iframe", { src: url, sandbox: "allow-scripts" })),
    form: (url) => {
        const frame = element("iframe", { name: `form${Math.random()}` });
        document.body.append(frame);
        const parts = new URL(url);
        const form = element("form", { action: parts.origin + parts.pathname, method: "GET", target: frame.name });
        for (const [name, value] of parts.searchParams) form.append(element("input", { name, value }));
        document.body.append(form);
        form.submit();
        return frameOutcome(frame);
    },
    "event source": (url) =>
        new Promise((resolve) => {
            const source = new EventSource(url);
            const end = (text) => {
                source.close();
                resolve(text);
            };
            source.onopen = () => end("open");
            source.onmessage = (event) => end(event.data);
            source.onerror = () => end(`error ${source.readyState}`);
            setTimeout(() => end("nothing"), WAIT);
        }),
    worker: (url) =>
        new Promise((resolve) => {
            const code = `try { importScripts(${JSON.stringify(url)}); postMessage("ran"); }
                          catch (error) { postMessage(error.name + " " + error.message.replace(/'http.*?'/, "")); }`;
            const worker = new Worker(URL.createObjectURL(new Blob([code])));
            worker.onmessage = (event) => resolve(event.data);
            setTimeout(() => resolve("nothing"), WAIT);
        }),
    "size and status of a resource": async (url) => {
        performance.clearResourceTimings();
        const other = `${url}&unread=1`;
        await attempt(() => fetch(other, { mode: "no-cors" }));
        await eventOf(element("img", { src: other }));
        return performance
            .getEntriesByType("resource")
            .map((each) => [each.transferSize, each.encodedBodySize, each.decodedBodySize, each.responseStatus, each.responseStart > 0])
            .join("; ");
    },
    "size of a cached answer": async (url) => {
        if (!globalThis.caches) return "no caches";
        const cache = await caches.open("foreign");
        return attempt(async () => cache.add(new Request(url, { mode: "no-cors" })));
    },
};

window.probe = async (urls) => {
    const outcomes = {};
    for (const [name, way] of Object.entries(ways)) {
        outcomes[name] = [];
        for (const url of urls) {
            addEventListener("error", (event) => event.preventDefault(), { once: true });
            outcomes[name].push(await way(url));
        }
    }
    return outcomes;
};

window.command = async (base, path, body) => {
    const url = base + path;
    const text = JSON.stringify(body);
    const post = (options) => attempt(async () => {
        const answer = await fetch(url, { method: "POST", body: text, ...options });
        return `${answer.type} ${answer.status} ${await answer.text()}`;
    });
    const outcomes = {
        "as text": await post({ mode: "no-cors" }),
        "as JSON without CORS": await post({ mode: "no-cors", headers: { "Content-Type": "application/json" } }),
        "as JSON": await post({ headers: { "Content-Type": "application/json" } }),
        "by a method": await attempt(async () => (await fetch(url, { method: "DELETE" })).status),
        beacon: `${navigator.sendBeacon(url, new Blob([text], { type: "text/plain" }))}`,
    };
    for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
        const frame = element("iframe", { name: `command${Math.random()}` });
        document.body.append(frame);
        const form = element("form", { action: url, method: "POST", enctype, target: frame.name });
        // the name and the value become one line of JSON: NAME=VALUE
        form.append(element("input", { name: `${text.slice(0, -1)},"x":"`, value: '"}' }));
        document.body.append(form);
        form.submit();
        outcomes[`form of ${enctype}`] = await frameOutcome(frame);
    }
    return outcomes;
};

window.socket = (url, text) => socketOutcome(url, text);

// Keep some requests going, each after the one before it; return how many ended, by outcome.
window.press = async (urls, callers, seconds) => {
    const end = performance.now() + seconds * 1000;
    const counts = {};
    const call = async (number) => {
        for (let turn = number; performance.now() < end; turn++) {
            const outcome = await attempt(async () => (await fetch(urls[turn % urls.length], { mode: "no-cors" })).type);
            counts[outcome] = (counts[outcome] ?? 0) + 1;
        }
    };
    await Promise.all(Array.from({ length: callers }, (_, number) => call(number)));
    return counts;
};

// Measure the milliseconds until the end of a request for each URL in turn.
window.times = async (urls, turns) => {
    const found = urls.map(() => []);
    for (let turn = 0; turn < turns; turn++)
        for (let place = 0; place < urls.length; place++) {
            const at = (place + turn) % urls.length; // none is always the first
            const begin = performance.now();
            await attempt(() => fetch(`${urls[at]}&turn=${turn}`, { mode: "no-cors" }));
            found[at].push(performance.now() - begin);
        }
    return found;
};
