// Draw updates together, some times a second, however many come; and less often when drawing takes too long.

const INTERVAL = 50; // milliseconds between drawings of data: nobody reads faster
const SLOW_INTERVAL = 125; // the same when the budget is exceeded
const BUDGET = 10; // milliseconds that one drawing may take on average
const SAMPLES = 30; // drawings over which the cost is averaged

class FrameLoop {
    #pending = new Set();
    #timer = 0;
    #isRequested = false;
    #drawnAt = -Infinity;
    #cost = 0; // moving average, in milliseconds
    onThrottle = () => {};
    isThrottled = false;

    /**
     * Call a function at one of the next frames. It is called once, however often it is scheduled until then.
     * isUrgent: at the next frame, as an answer to the user.
     */
    schedule(draw, isUrgent = false) {
        this.#pending.add(draw);
        if (isUrgent) this.#request();
        else this.#timer ||= setTimeout(() => this.#request(), this.#wait);
    }

    /** Milliseconds until data are drawn again. A frame that is not needed costs as much as one that is. */
    get #wait() {
        return Math.max(0, this.#drawnAt + (this.isThrottled ? SLOW_INTERVAL : INTERVAL) - performance.now());
    }

    #request() {
        if (this.#isRequested) return;
        this.#isRequested = true;
        requestAnimationFrame(this.#draw);
    }

    #draw = () => {
        clearTimeout(this.#timer);
        this.#timer = 0;
        this.#isRequested = false;
        this.#drawnAt = performance.now();
        const draws = [...this.#pending];
        this.#pending.clear();
        for (const draw of draws) draw();
        this.#measure(performance.now() - this.#drawnAt);
    };

    #measure(cost) {
        this.#cost += (cost - this.#cost) / SAMPLES;
        const isThrottled = this.#cost > (this.isThrottled ? BUDGET / 2 : BUDGET);
        if (isThrottled === this.isThrottled) return;
        this.isThrottled = isThrottled;
        this.onThrottle(isThrottled);
    }
}

export const frames = new FrameLoop();
