// Keep the bars of one symbol and interval: history, continued by live trades without a gap and without a double.

import { seconds } from "./numbers.js";
import { rows } from "./rest.js";

/** Interval -> its length in seconds, and how many days of history are shown. */
export const INTERVALS = {
    "10s": { length: 10, days: 1, most: 1500 },
    "1m": { length: 60, days: 1, most: 1500 },
    "5m": { length: 300, days: 5, most: 1500 },
    "15m": { length: 900, days: 15, most: 1500 },
    "1h": { length: 3600, days: 60, most: 1500 },
    "1d": { length: 86400, days: 1000, most: 1000 },
};
const MINUTE = 60;

export class Bars {
    bars = []; // {time (seconds since 1970), open, high, low, close, volume}, oldest first
    fault = "";
    #length;
    #join = null;
    #loads = 0; // times that history was asked for
    #waiting = []; // trades that came while history was on its way; null: there is history

    /** onChange is called after each change. */
    constructor(symbol, interval, onChange) {
        this.symbol = symbol;
        this.interval = interval;
        this.#length = INTERVALS[interval].length;
        this.onChange = onChange;
    }

    /** Read history. Call it after the subscription to trades, so that no trade is missed in between. */
    async load() {
        this.#waiting ??= [];
        const number = ++this.#loads;
        // Without history, the chart has live trades at least.
        const found = await this.#read().catch((error) => ({ bars: this.bars, join: new Join([], -Infinity), fault: error.message }));
        if (number !== this.#loads) return; // asked for again meanwhile
        this.bars = found.bars;
        this.fault = found.fault ?? "";
        this.#join = found.join;
        const waiting = this.#waiting;
        this.#waiting = null;
        for (const trade of waiting) this.#apply(trade);
        this.onChange();
    }

    add(trade) {
        if (this.#waiting !== null) this.#waiting.push(trade);
        else {
            this.#apply(trade);
            this.onChange();
        }
    }

    /**
     * Read closed bars, and make the open one of finer records: whole minutes, then single trades. A bar that the server
     * made does not state which trades are in it; trades have times.
     * Return {bars, join}.
     */
    async #read() {
        const { days, most } = INTERVALS[this.interval];
        const begin = Math.floor(Date.now() / 1000) - Math.min(days * 86400, most * this.#length);
        const bars = (await this.#history(this.interval, begin)).map(barOf).filter((bar) => bar.open);
        const last = bars.at(-1);
        if (!last || last.time + this.#length < Date.now() / 1000 - MINUTE) return { bars, join: new Join([], -Infinity) };
        try {
            const { minutes, ticks, from } = await this.#openBar(last.time);
            if (minutes.length || ticks.length) {
                bars.pop();
                for (const each of [...minutes, ...ticks]) this.#place(bars, each, last.time);
                return { bars, join: new Join(ticks.map((tick) => tick.time), from) };
            }
        } catch (error) {
            console.warn(error); // the server may refuse single trades
        }
        return { bars, join: new Join([], Date.now() / 1000) }; // the trades until now are in the server's bar
    }

    async #openBar(time) {
        const minutes = this.#length > MINUTE ? (await this.#history("1m", time)).map(barOf).slice(0, -1) : [];
        const from = minutes.length ? minutes.at(-1).time + MINUTE : time;
        const ticks = (await this.#history("tick", from)).map(pointOf).filter((tick) => tick.close && tick.time >= from);
        return { minutes, ticks, from };
    }

    #history(interval, begin) {
        const query = { Symbol: this.symbol, RecordInterval: interval, StartDateTime: begin, prices: "display" };
        return rows("/historicalpricedata", query);
    }

    #apply({ Price, Volume, DateTime }) {
        if (this.#join.includes(seconds(DateTime))) return;
        this.#place(this.bars, { time: seconds(DateTime), open: Price, high: Price, low: Price, close: Price, volume: Volume ?? 0 });
    }

    /** Add a trade or a finer bar to its bar. origin: the time of the first bar, if there is none yet. */
    #place(bars, point, origin = 0) {
        const last = bars.at(-1);
        const base = last?.time ?? origin;
        const time = base + Math.floor((point.time - base) / this.#length) * this.#length;
        if (last && time <= last.time) bars[bars.length - 1] = merge(last, point);
        else bars.push({ ...point, time });
    }
}

/**
 * The moment at which history ends. It decides for each live trade whether history includes it already, also for those
 * that arrive later: the way of a live trade may be longer than that of history.
 */
export class Join {
    #time;
    #isWhole; // some servers state the times of history in whole seconds
    #left; // trades of the last time that are still to come

    /** times: of the trades of history, in seconds; otherwise: the end, if there are none. */
    constructor(times, otherwise) {
        this.#time = times.at(-1) ?? otherwise;
        this.#isWhole = times.length > 0 && times.every(Number.isInteger);
        this.#left = times.filter((each) => isSameTime(each, this.#time)).length;
    }

    includes(time) {
        const at = this.#isWhole ? Math.floor(time) : time;
        return isSameTime(at, this.#time) ? this.#left-- > 0 : at < this.#time;
    }
}

/** Live times have milliseconds, those of history microseconds. */
function isSameTime(a, b) {
    return Math.abs(a - b) < 0.0011;
}

function barOf(row) {
    return {
        time: seconds(row.StartDateTime),
        open: row.OpenPrice,
        high: row.HighPrice,
        low: row.LowPrice,
        close: row.LastPrice,
        volume: row.Volume ?? 0,
    };
}

/** Return a trade of history: the high and low of its record are its ask and bid. */
function pointOf({ StartDateTime, LastPrice, Volume }) {
    const time = seconds(StartDateTime);
    return { time, open: LastPrice, high: LastPrice, low: LastPrice, close: LastPrice, volume: Volume ?? 0 };
}

function merge(bar, next) {
    return {
        time: bar.time,
        open: bar.open,
        high: Math.max(bar.high, next.high),
        low: Math.min(bar.low, next.low),
        close: next.close,
        volume: bar.volume + next.volume,
    };
}
