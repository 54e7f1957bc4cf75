// Know the symbols: how their prices are written, and what a price move is worth.

import { rows } from "./rest.js";

const MOST_DECIMALS = 9;
const cache = new Map();

export class Instrument {
    constructor(definition) {
        this.symbol = definition.Symbol;
        this.description = definition.Description ?? "";
        this.currency = definition.Currency ?? "";
        this.tick = clean(definition.MinPriceIncrement) || 0;
        this.multiplier = clean(definition.DisplayPriceMultiplier) || 1;
        this.tickValue = definition.CurrencyValuePerIncrement ?? 0;
        this.decimals = decimalsOf(definition.PriceDisplayFormat, this.tick);
    }

    /** Return the text of a display price. */
    text(price) {
        return price === undefined || price === null ? "" : price.toFixed(this.decimals);
    }

    /** Return the text of an average, which may lie between two ticks. */
    averageText(price) {
        return price === undefined || price === null ? "" : price.toFixed(this.decimals + (this.isOnTick(price) ? 0 : 2));
    }

    isOnTick(price) {
        return !this.tick || Math.abs(this.round(price) - price) < this.tick / 1000;
    }

    /** Return the number of ticks of a price. */
    ticks(price) {
        return Math.round(price / (this.tick || 10 ** -this.decimals));
    }

    /** Return the price of a number of ticks, without binary noise. */
    price(ticks) {
        return Number((ticks * (this.tick || 10 ** -this.decimals)).toFixed(MOST_DECIMALS));
    }

    round(price) {
        return this.price(this.ticks(price));
    }

    /** Return the display price of a server price: the channel orders has server prices. */
    display(price) {
        if (price === undefined) return undefined;
        const shown = Number((price * this.multiplier).toFixed(MOST_DECIMALS));
        return this.isOnTick(shown) ? this.round(shown) : shown;
    }

    /** Return the worth of a price difference for a quantity, in the currency of the symbol; null: not known. */
    worth(difference, quantity) {
        return this.tick && this.tickValue ? (difference / this.tick) * this.tickValue * quantity : null;
    }
}

/** Return the Instrument of a symbol, as a promise. The server is asked once. */
export function instrumentOf(symbol) {
    let known = cache.get(symbol);
    if (known === undefined) {
        known = rows("/securitydefinition", { Symbol: symbol }).then(([definition]) => {
            if (definition === undefined) throw new Error(`The server does not know ${symbol}.`);
            const instrument = new Instrument(definition);
            known.value = instrument;
            return instrument;
        });
        cache.set(symbol, known);
        known.catch(() => cache.delete(symbol));
    }
    return known;
}

/** Return the Instrument of a symbol if it is known already. */
export function knownInstrument(symbol) {
    return cache.get(symbol)?.value;
}

/** Remove the noise of a 4-byte number: 0.009999999776482582 is 0.01. */
function clean(value) {
    return value === undefined ? undefined : Number(value.toPrecision(7));
}

function decimalsOf(format, tick) {
    if (format >= 0 && format <= MOST_DECIMALS) return format;
    for (let decimals = 0; decimals < MOST_DECIMALS; decimals++)
        if (Math.abs(tick * 10 ** decimals - Math.round(tick * 10 ** decimals)) < 1e-6) return decimals;
    return 2;
}
