// Draw candles, volume, lines and marks on a canvas.

const PRICE_WIDTH = 68; // pixels for the price axis
const TIME_HEIGHT = 18;
const VOLUME_PART = 0.16; // part of the height that volume takes
const FONT = '11px system-ui, "Segoe UI", Roboto, Arial, sans-serif';
const MARGIN = 0.06; // free part above the highest and below the lowest price
const LEAST_STEP = 44; // pixels between labels of prices
const LEAST_TIME_STEP = 76; // pixels between labels of times

export class ChartCanvas {
    #canvas;
    #context;
    #width = 0;
    #height = 0;
    #colors = {};
    #view = null; // the scale of the last drawing

    constructor(canvas) {
        this.#canvas = canvas;
        this.#context = canvas.getContext("2d");
    }

    /** Take the size and the colours of the page. */
    fit() {
        const ratio = devicePixelRatio || 1;
        this.#width = this.#canvas.clientWidth;
        this.#height = this.#canvas.clientHeight;
        this.#canvas.width = Math.round(this.#width * ratio);
        this.#canvas.height = Math.round(this.#height * ratio);
        this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
        this.#readColors();
    }

    /** Canvas needs colours as values: light-dark() is resolved by an element only. */
    #readColors() {
        const style = getComputedStyle(this.#canvas);
        const names = { up: "color", down: "fill", grid: "stroke", muted: "textDecorationColor" };
        names.accent = "caretColor";
        names.panel = "backgroundColor";
        for (const [name, property] of Object.entries(names)) this.#colors[name] = style[property];
    }

    /**
     * Draw the bars from number `first`, `count` of them.
     * lines: {price, text, kind: "last" | "buy" | "sell" | "position"}. fills: {time, price, isBuy}.
     * cursor: {x, y} or null. format: price -> text. timeText: seconds -> text.
     * Return the bar under the cursor.
     */
    draw({ bars, first, count, lines, fills, cursor, format, timeText }) {
        const context = this.#context;
        context.clearRect(0, 0, this.#width, this.#height);
        context.font = FONT;
        context.textBaseline = "middle";
        const shown = bars.slice(Math.max(0, first), first + count);
        if (!shown.length || this.#width <= PRICE_WIDTH) return null;
        this.#view = this.#scale(shown, first, count, lines);
        this.#drawGrid(shown, format, timeText);
        this.#drawBars(shown);
        this.#drawFills(shown, fills);
        this.#drawLines(lines, format);
        return cursor ? this.#drawCursor(shown, cursor, format, timeText) : shown.at(-1);
    }

    /** Return the price at a height, in pixels. */
    priceAt(y) {
        const { low, high, bottom } = this.#view;
        return low + ((bottom - y) / bottom) * (high - low);
    }

    #scale(shown, first, count, lines) {
        let low = Infinity;
        let high = -Infinity;
        let volume = 1;
        for (const bar of shown) {
            low = Math.min(low, bar.low);
            high = Math.max(high, bar.high);
            volume = Math.max(volume, bar.volume);
        }
        const range = high - low || Math.abs(high) * 0.001 || 1;
        // Lines near the bars are kept in sight; those far away would flatten the bars.
        for (const { price } of lines) {
            if (price > high && price < high + range / 2) high = price;
            if (price < low && price > low - range / 2) low = price;
        }
        const margin = (high - low || range) * MARGIN;
        const right = this.#width - PRICE_WIDTH;
        const bottom = this.#height - TIME_HEIGHT;
        return { low: low - margin, high: high + margin, volume, right, bottom, step: right / count, offset: Math.max(0, -first) };
    }

    #x(number) {
        return (number + this.#view.offset + 0.5) * this.#view.step;
    }

    #y(price) {
        const { low, high, bottom } = this.#view;
        return bottom - ((price - low) / (high - low)) * bottom;
    }

    #drawGrid(shown, format, timeText) {
        const { low, high, right, bottom, step } = this.#view;
        const context = this.#context;
        context.strokeStyle = this.#colors.grid;
        context.fillStyle = this.#colors.muted;
        context.lineWidth = 1;
        context.beginPath();
        const distance = roundStep(((high - low) * LEAST_STEP) / bottom);
        for (let price = Math.ceil(low / distance) * distance; price < high; price += distance) {
            const y = Math.round(this.#y(price)) + 0.5;
            context.moveTo(0, y);
            context.lineTo(right, y);
            context.fillText(format(price), right + 6, y);
        }
        const skipped = Math.ceil(LEAST_TIME_STEP / step);
        context.textAlign = "center";
        for (let number = Math.floor(skipped / 2); number < shown.length; number += skipped) {
            const x = Math.round(this.#x(number)) + 0.5;
            context.moveTo(x, 0);
            context.lineTo(x, bottom);
            context.fillText(timeText(shown[number].time), x, bottom + TIME_HEIGHT / 2);
        }
        context.textAlign = "left";
        context.stroke();
    }

    #drawBars(shown) {
        const { volume, bottom, step } = this.#view;
        const context = this.#context;
        const width = Math.max(1, Math.floor(step * 0.7));
        for (const isUp of [true, false]) {
            context.fillStyle = context.strokeStyle = isUp ? this.#colors.up : this.#colors.down;
            const wicks = new Path2D();
            const bodies = new Path2D();
            const volumes = new Path2D();
            shown.forEach((bar, number) => {
                if (bar.close >= bar.open !== isUp) return;
                const x = Math.round(this.#x(number));
                const top = Math.round(this.#y(Math.max(bar.open, bar.close)));
                const height = Math.max(1, Math.round(this.#y(Math.min(bar.open, bar.close))) - top);
                wicks.rect(x, Math.round(this.#y(bar.high)), 1, Math.max(1, Math.round(this.#y(bar.low) - this.#y(bar.high))));
                bodies.rect(x - Math.floor(width / 2), top, width, height);
                const size = Math.round((bar.volume / volume) * bottom * VOLUME_PART);
                volumes.rect(x - Math.floor(width / 2), bottom - size, width, size);
            });
            context.fill(wicks);
            context.fill(bodies);
            context.globalAlpha = 0.3;
            context.fill(volumes);
            context.globalAlpha = 1;
        }
    }

    #drawLines(lines, format) {
        const { right, low, high } = this.#view;
        const context = this.#context;
        const colors = { last: "muted", buy: "up", sell: "down", position: "accent" };
        for (const { price, text, kind } of lines) {
            if (price < low || price > high) continue;
            const y = Math.round(this.#y(price)) + 0.5;
            context.strokeStyle = this.#colors[colors[kind]];
            context.setLineDash(kind === "last" ? [2, 3] : kind === "position" ? [] : [6, 3]);
            context.beginPath();
            context.moveTo(0, y);
            context.lineTo(right, y);
            context.stroke();
            context.setLineDash([]);
            if (text) this.#label(text, 6, y, this.#colors[colors[kind]]);
            this.#label(format(price), right + 2, y, this.#colors[colors[kind]], PRICE_WIDTH - 3);
        }
    }

    #label(text, x, y, color, width = this.#context.measureText(text).width + 10) {
        const context = this.#context;
        context.fillStyle = color;
        context.fillRect(x, y - 8, width, 16);
        context.fillStyle = this.#colors.panel;
        context.fillText(text, x + 4, y);
    }

    #drawFills(shown, fills) {
        const context = this.#context;
        const begin = shown[0].time;
        for (const { time, price, isBuy } of fills) {
            if (time < begin) continue;
            let number = shown.findLastIndex((bar) => bar.time <= time);
            number = Math.max(0, number);
            const x = this.#x(number);
            const y = this.#y(price);
            const size = isBuy ? 6 : -6;
            context.fillStyle = isBuy ? this.#colors.up : this.#colors.down;
            context.strokeStyle = this.#colors.panel;
            context.beginPath();
            context.moveTo(x, y);
            context.lineTo(x - 6, y + 1.6 * size);
            context.lineTo(x + 6, y + 1.6 * size);
            context.closePath();
            context.fill();
            context.stroke();
        }
    }

    #drawCursor(shown, { x, y }, format, timeText) {
        const { right, bottom, step, offset } = this.#view;
        const number = Math.min(shown.length - 1, Math.max(0, Math.floor(x / step) - offset));
        const context = this.#context;
        const centre = Math.round(this.#x(number)) + 0.5;
        context.strokeStyle = this.#colors.muted;
        context.setLineDash([3, 3]);
        context.beginPath();
        context.moveTo(centre, 0);
        context.lineTo(centre, bottom);
        if (y < bottom) {
            context.moveTo(0, Math.round(y) + 0.5);
            context.lineTo(right, Math.round(y) + 0.5);
        }
        context.stroke();
        context.setLineDash([]);
        if (y < bottom) this.#label(format(this.priceAt(y)), right + 2, y, this.#colors.muted, PRICE_WIDTH - 3);
        context.textAlign = "center";
        const text = timeText(shown[number].time);
        const width = context.measureText(text).width + 10;
        context.textAlign = "left";
        this.#label(text, Math.max(0, Math.min(centre - width / 2, right - width)), bottom + TIME_HEIGHT / 2, this.#colors.muted, width);
        return shown[number];
    }
}

/** Return a step of 1, 2 or 5 times a power of ten that is at least this long. */
function roundStep(least) {
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least) ?? 10 * power;
}
