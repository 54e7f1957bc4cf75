// Keep one order book, from the channel marketdepth: the whole book, then its changes.

const BID = 1;
const DELETE = 2;

export class Book {
    #sides = { bids: new Map(), asks: new Map() }; // quantity by price, in ticks
    bestBid;
    bestAsk;
    largest = 1;

    constructor(instrument, { bids, asks }) {
        this.instrument = instrument;
        for (const level of bids) this.#set("bids", level);
        for (const level of asks) this.#set("asks", level);
        this.#measure();
    }

    get bids() {
        return this.#sides.bids;
    }

    get asks() {
        return this.#sides.asks;
    }

    change(changes) {
        for (const each of changes) {
            const side = each.Side === BID ? "bids" : "asks";
            if (each.UpdateType === DELETE) this.#sides[side].delete(this.instrument.ticks(each.Price));
            else this.#set(side, each);
        }
        this.#measure();
    }

    #set(side, { Price, Quantity }) {
        this.#sides[side].set(this.instrument.ticks(Price), Quantity);
    }

    #measure() {
        this.bestBid = this.bids.size ? Math.max(...this.bids.keys()) : undefined;
        this.bestAsk = this.asks.size ? Math.min(...this.asks.keys()) : undefined;
        this.largest = Math.max(1, ...this.bids.values(), ...this.asks.values());
    }
}
