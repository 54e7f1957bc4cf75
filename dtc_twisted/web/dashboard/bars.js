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
        try {
            const { bars, until } = await this.#read();
            this.bars = bars;
            this.fault = "";
            const waiting = this.#waiting;
            this.#waiting = null;
            for (const trade of tradesAfter(waiting, until)) this.#apply(trade);
        } catch (error) {
            // The chart has live trades at least.
            this.fault = error.message;
            const waiting = this.#waiting;
            this.#waiting = null;
            for (const trade of waiting) this.#apply(trade);
        }
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
     * Return closed bars, and the open one made of finer records: whole minutes, then single trades.
     * until: the last of these trades, {time, count: how many trades with this time are included}. A bar that the
     * server made does not state which trades are in it. Trades do.
     */
    async #read() {
        const { days, most } = INTERVALS[this.interval];
        const begin = Math.floor(Date.now() / 1000) - Math.min(days * 86400, most * this.#length);
        const bars = (await this.#history(this.interval, begin)).map(barOf).filter((bar) => bar.open);
        const last = bars.at(-1);
        if (!last || last.time + this.#length < Date.now() / 1000 - MINUTE) return { bars, until: { time: -Infinity, count: 0 } };
        try {
            const { bar, until } = await this.#openBar(last.time);
            if (bar) bars[bars.length - 1] = bar;
            return { bars, until };
        } catch {
            // The server has no single trades: those that it stated until now are in its bar.
            return { bars, until: { time: Date.now() / 1000, count: 0 } };
        }
    }

    async #openBar(time) {
        const minutes = this.#length > MINUTE ? (await this.#history("1m", time)).map(barOf).slice(0, -1) : [];
        const from = minutes.length ? minutes.at(-1).time + MINUTE : time;
        const ticks = (await this.#history("tick", from)).filter((row) => row.LastPrice && seconds(row.StartDateTime) >= from);
        let bar = null;
        for (const each of minutes) bar = merge(bar, each, time);
        for (const row of ticks) bar = merge(bar, pointOf(row), time);
        return { bar, until: lastOf(ticks.map((row) => seconds(row.StartDateTime)), from) };
    }

    #history(interval, begin) {
        const query = { Symbol: this.symbol, RecordInterval: interval, StartDateTime: begin, prices: "display" };
        return rows("/historicalpricedata", query);
    }

    #apply(trade) {
        const at = seconds(trade.DateTime);
        const last = this.bars.at(-1);
        const start = last ? last.time + Math.floor((at - last.time) / this.#length) * this.#length : at - (at % this.#length);
        const point = { open: trade.Price, high: trade.Price, low: trade.Price, close: trade.Price, volume: trade.Volume ?? 0 };
        if (last && start <= last.time) this.bars[this.bars.length - 1] = merge(last, point, last.time);
        else this.bars.push({ ...point, time: start });
    }
}

/** Return the last time, and how many trades have it. Some servers state whole seconds only. */
function lastOf(times, from) {
    const time = times.at(-1) ?? from;
    const isWhole = times.every(Number.isInteger);
    return { time, isWhole, count: times.filter((each) => isSameTime(each, time)).length };
}

/** Return the live trades that history does not include. Live times have milliseconds, those of history microseconds. */
export function tradesAfter(trades, { time, isWhole, count }) {
    let left = count;
    return trades.filter((trade) => {
        const at = isWhole ? Math.floor(seconds(trade.DateTime)) : seconds(trade.DateTime);
        return isSameTime(at, time) ? left-- <= 0 : at > time;
    });
}

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

/** Return the bar of one trade: the high and low of a tick record are its ask and bid. */
function pointOf({ LastPrice, Volume }) {
    return { open: LastPrice, high: LastPrice, low: LastPrice, close: LastPrice, volume: Volume ?? 0 };
}

function merge(bar, next, time) {
    if (bar === null) return { ...next, time };
    return {
        time,
        open: bar.open,
        high: Math.max(bar.high, next.high),
        low: Math.min(bar.low, next.low),
        close: next.close,
        volume: bar.volume + next.volume,
    };
}
