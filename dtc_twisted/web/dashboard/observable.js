// Hold a value, and call listeners when it changes.

export class Observable {
    #value;
    #listeners = new Set();

    constructor(value) {
        this.#value = value;
    }

    get value() {
        return this.#value;
    }

    set value(value) {
        if (Object.is(value, this.#value)) return;
        this.#value = value;
        for (const listener of this.#listeners) listener(value);
    }

    /** Call the listener now, and at each change. Return a function that ends this. */
    observe(listener) {
        this.#listeners.add(listener);
        listener(this.#value);
        return () => this.#listeners.delete(listener);
    }
}

/** Make an Observable whose value is kept in the browser, in localStorage. */
export function stored(name, initial) {
    const key = `dtc_twisted.${name}`;
    let value = initial;
    try {
        value = JSON.parse(localStorage.getItem(key)) ?? initial;
    } catch {
        // The browser keeps nothing, or something else wrote this.
    }
    const observable = new Observable(value);
    observable.observe((current) => {
        try {
            localStorage.setItem(key, JSON.stringify(current));
        } catch {
            // The browser keeps nothing: the value lives as long as the page.
        }
    });
    return observable;
}
