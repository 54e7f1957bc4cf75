// Draw at most once a frame, however many updates come, and less often when drawing takes too long.

const BUDGET = 8; // milliseconds of drawing a frame; half of a frame at 60 Hz
const SLOW_INTERVAL = 100; // milliseconds between frames when the budget is exceeded
const SAMPLES = 30; // frames over which the cost is averaged

class FrameLoop {
    #pending = new Set();
    #isRequested = false;
    #drawnAt = 0;
    #cost = 0; // moving average, in milliseconds
    onThrottle = () => {};
    isThrottled = false;

    /** Call a function at the next frame. It is called once, however often it is scheduled until then. */
    schedule(draw) {
        this.#pending.add(draw);
        if (this.#isRequested) return;
        this.#isRequested = true;
        requestAnimationFrame(this.#draw);
    }

    #draw = (now) => {
        if (this.isThrottled && now - this.#drawnAt < SLOW_INTERVAL) {
            requestAnimationFrame(this.#draw);
            return;
        }
        this.#drawnAt = now;
        this.#isRequested = false;
        const draws = [...this.#pending];
        this.#pending.clear();
        const begin = performance.now();
        for (const draw of draws) draw();
        this.#measure(performance.now() - begin);
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
