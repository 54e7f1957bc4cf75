// Search symbols while the user types, and pass on the one that is chosen.

import { byId, make } from "./dom.js";
import { rows } from "./rest.js";

const PAUSE = 200; // milliseconds without a key before the server is asked
const MOST = 30; // symbols shown

export class SymbolSearch {
    #input = byId("search");
    #list = byId("found");
    #timer = 0;
    #chosen = -1;
    #asked = 0;
    #onChosen;

    constructor(onChosen) {
        this.#onChosen = onChosen;
        this.#input.addEventListener("input", () => {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => this.#search(), PAUSE);
        });
        this.#input.addEventListener("keydown", (event) => this.#key(event));
        this.#input.addEventListener("blur", () => setTimeout(() => this.#close(), PAUSE));
    }

    focus() {
        this.#input.focus();
    }

    async #search() {
        const text = this.#input.value.trim();
        const asked = ++this.#asked;
        if (!text) return this.#close();
        const search = (type) => rows("/symbolsearch", { SearchText: text, SearchType: type }).catch((error) => error);
        const found = await Promise.all([search("BY_SYMBOL"), search("BY_DESCRIPTION")]);
        if (asked !== this.#asked) return;
        const lists = found.filter(Array.isArray);
        const definitions = new Map(lists.flat().filter((row) => row.Symbol).map((row) => [row.Symbol, row]));
        this.#show([...definitions.values()].slice(0, MOST), lists.length ? "No symbol matches." : found[0].message);
    }

    #show(definitions, otherwise) {
        this.#chosen = -1;
        const options = definitions.map((each, number) =>
            make(
                "li",
                { role: "option", id: `found-${number}`, "data-symbol": each.Symbol, on: { mousedown: () => this.#choose(each.Symbol) } },
                make("b", { text: each.Symbol }),
                make("span", { text: each.Description ?? "" }),
            ),
        );
        if (!options.length) options.push(make("li", { role: "option", "aria-disabled": "true", text: otherwise }));
        this.#list.replaceChildren(...options);
        this.#list.hidden = false;
        this.#input.setAttribute("aria-expanded", "true");
    }

    #key(event) {
        const options = this.#list.querySelectorAll("[data-symbol]");
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step && options.length) this.#mark(options, (this.#chosen + step + options.length) % options.length);
        else if (event.key === "Enter") this.#choose((options[Math.max(0, this.#chosen)]?.dataset.symbol ?? this.#input.value).trim());
        else if (event.key === "Escape") this.#close();
        else return;
        event.preventDefault();
    }

    #mark(options, chosen) {
        this.#chosen = chosen;
        options.forEach((option, number) => option.setAttribute("aria-selected", String(number === chosen)));
        options[chosen].scrollIntoView({ block: "nearest" });
        this.#input.setAttribute("aria-activedescendant", options[chosen].id);
    }

    #choose(symbol) {
        if (!symbol) return;
        this.#input.value = "";
        this.#close();
        this.#onChosen(symbol);
    }

    #close() {
        this.#asked++;
        clearTimeout(this.#timer);
        this.#list.hidden = true;
        this.#input.setAttribute("aria-expanded", "false");
        this.#input.removeAttribute("aria-activedescendant");
    }
}
