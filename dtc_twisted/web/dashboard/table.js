// Show rows as a table that is sorted, filtered and fast: only the rows in sight are elements.

import { make, setClass, setText } from "./dom.js";
import { frames } from "./frames.js";

const ROW = 22; // pixels, as in panels.css
const MARGIN = 4; // rows beyond each edge

export class Table {
    #columns;
    #sort;
    #rows = []; // as given
    #shown = null; // filtered and sorted; null: to be made again
    #filter = "";
    #lines = []; // elements in use
    #height = 0; // of the panel, in pixels; 0: not in sight
    #current = 0; // number of the row that the keyboard is at
    #scroll;
    #above = make("tr", { "aria-hidden": "true", class: "space" }, make("td"));
    #below = make("tr", { "aria-hidden": "true", class: "space" }, make("td"));
    #body = make("tbody");
    #headers = [];
    #empty;

    /**
     * columns: {title, text(row), value(row) to sort by, isNumber, className(row), buttons(row): [{title, label, run}]}
     * onKey: called with the row and the event of a key; returns whether it was handled.
     */
    constructor(scroll, { label, columns, sort, empty, rowClass = () => "", onKey = () => false }) {
        this.#scroll = scroll;
        this.#columns = columns;
        this.#sort = sort;
        this.rowClass = rowClass;
        this.onKey = onKey;
        this.#empty = make("p", { class: "hint", text: empty });
        this.#headers = columns.map((column, number) => this.#makeHeader(column, number));
        const head = make("thead", {}, make("tr", {}, ...this.#headers));
        this.table = make("table", { class: "grid rows", "aria-label": label }, head, this.#body);
        scroll.append(this.table, this.#empty);
        scroll.addEventListener("scroll", () => frames.schedule(this.draw, true), { passive: true });
        new ResizeObserver(() => this.show()).observe(scroll);
        this.#body.addEventListener("keydown", (event) => this.#key(event));
    }

    set rows(rows) {
        this.#rows = rows;
        this.#shown = null;
        frames.schedule(this.draw);
    }

    set filter(text) {
        this.#filter = text.trim().toLowerCase();
        this.#shown = null;
        this.#scroll.scrollTop = 0;
        frames.schedule(this.draw);
    }

    focus() {
        this.#lines[0]?.element.focus();
    }

    /** Take the size of the panel, and draw. */
    show() {
        this.#height = this.#scroll.clientHeight;
        frames.schedule(this.draw, true);
    }

    draw = () => {
        if (this.#scroll.hidden || !this.#height) return; // to ask for its size now would cost a layout
        this.#shown ??= this.#arrange();
        const first = Math.max(0, Math.floor(this.#scroll.scrollTop / ROW) - MARGIN);
        const count = Math.min(this.#shown.length - first, Math.ceil(this.#height / ROW) + 2 * MARGIN);
        while (this.#lines.length > Math.max(0, count)) this.#lines.pop().element.remove();
        while (this.#lines.length < count) this.#lines.push(new Line(this.#columns));
        const elements = this.#lines.map((line) => line.element);
        if (this.#body.children.length !== elements.length + 2) this.#body.replaceChildren(this.#above, ...elements, this.#below);
        this.#lines.forEach((line, number) => line.draw(this.#shown[first + number], first + number, this.rowClass));
        setHeight(this.#above, first * ROW);
        setHeight(this.#below, Math.max(0, this.#shown.length - first - count) * ROW);
        this.table.setAttribute("aria-rowcount", this.#shown.length + 1);
        this.#empty.hidden = this.#shown.length > 0;
    };

    #arrange() {
        const { column, descending } = this.#sort;
        const { value, text } = this.#columns[column];
        const key = value ?? text;
        const matches = (row) => this.#columns.some((each) => each.text?.(row).toLowerCase().includes(this.#filter));
        const rows = this.#filter ? this.#rows.filter(matches) : [...this.#rows];
        const sign = descending ? -1 : 1;
        return rows
            .map((row) => [key(row) ?? "", row])
            .sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0))
            .map(([, row]) => row);
    }

    #makeHeader(column, number) {
        const button = make("button", { type: "button", text: column.title });
        button.addEventListener("click", () => {
            const isSame = this.#sort.column === number;
            this.#sort = { column: number, descending: isSame ? !this.#sort.descending : Boolean(column.isNumber) };
            this.#markSort();
            this.#shown = null;
            frames.schedule(this.draw);
        });
        const isSorted = number === this.#sort.column;
        const sort = isSorted ? (this.#sort.descending ? "descending" : "ascending") : null;
        if (column.buttons) return make("th", { scope: "col" }, make("span", { class: "hidden-text", text: column.title }));
        return make("th", { scope: "col", class: column.isNumber ? "n" : "", "aria-sort": sort }, button);
    }

    #markSort() {
        this.#headers.forEach((header, number) => {
            if (number !== this.#sort.column) header.removeAttribute("aria-sort");
            else header.setAttribute("aria-sort", this.#sort.descending ? "descending" : "ascending");
        });
    }

    #key(event) {
        const line = this.#lines.find((each) => each.element === event.target);
        if (!line) return;
        const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key];
        if (step) this.#goTo(line.number + step);
        else if (!this.onKey(line.row, event)) return;
        event.preventDefault();
        event.stopPropagation();
    }

    #goTo(number) {
        this.#current = Math.max(0, Math.min(number, this.#shown.length - 1));
        const top = this.#current * ROW;
        if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
        const bottom = top + 2 * ROW - this.#height; // the head of the table covers one row
        if (bottom > this.#scroll.scrollTop) this.#scroll.scrollTop = bottom;
        this.draw();
        this.#lines.find((line) => line.number === this.#current)?.element.focus();
    }
}

/** One row in sight. The element is reused for other rows. */
class Line {
    row = null;
    number = 0;
    #columns;
    #buttons = "";

    constructor(columns) {
        this.#columns = columns;
        this.cells = columns.map((column) => make("td", { class: column.isNumber ? "n" : column.buttons ? "actions" : "" }));
        this.element = make("tr", { tabindex: 0 }, ...this.cells);
    }

    draw(row, number, rowClass) {
        this.row = row;
        this.number = number;
        this.element.setAttribute("aria-rowindex", number + 2);
        setClass(this.element, rowClass(row));
        this.#columns.forEach((column, index) => {
            const cell = this.cells[index];
            if (column.buttons) return this.#drawButtons(cell, column.buttons(row));
            setText(cell, column.text(row));
            if (column.className) setClass(cell, `${column.isNumber ? "n " : ""}${column.className(row)}`);
            if (column.title_of) cell.title = column.title_of(row);
        });
    }

    /** Draw buttons anew only if they differ, so that a press is not lost. Each acts on the row that is shown then. */
    #drawButtons(cell, buttons) {
        const kind = JSON.stringify(buttons.map(({ title, label, fault }) => [title, label, fault]));
        this.actions = buttons;
        if (kind === this.#buttons) return;
        this.#buttons = kind;
        cell.replaceChildren(
            ...buttons.map(({ title, label, fault }, number) =>
                make("button", {
                    type: "button",
                    text: title,
                    "aria-label": label,
                    title: fault,
                    disabled: Boolean(fault),
                    on: { click: () => this.actions[number].run() },
                }),
            ),
        );
    }
}

function setHeight(row, height) {
    const text = `${height}px`;
    if (row.firstChild.style.height !== text) row.firstChild.style.height = text;
}
