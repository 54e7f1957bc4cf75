// Write numbers and times.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const QUANTITY = new Intl.NumberFormat("en-US", { maximumFractionDigits: 8 });
const MONEY = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "short", timeStyle: "medium" });

const LARGE = 10_000;
const MICROSECONDS = 1e14; // times of history come in seconds or in microseconds

export const whole = (value) => (value === undefined ? "" : WHOLE.format(value));
export const quantity = (value) => (value === undefined ? "" : QUANTITY.format(value));
export const shortNumber = (value) => (value === undefined ? "" : SHORT.format(value));

/** Return a size in few characters: 58, 12.5K, 1.08M. */
export const size = (value) => (value < LARGE ? quantity(value) : shortNumber(value));
export const money = (value) => (value === undefined || value === null ? "" : MONEY.format(value));

/** Return a number with its sign. A true minus sign is as wide as a plus. */
export function signed(value, text) {
    if (value === undefined || value === null || Number.isNaN(value)) return "";
    return value > 0 ? `+${text}` : text.replace("-", "−");
}

/** Return seconds since 1970 of a time in seconds or in microseconds. */
export const seconds = (time) => (time > MICROSECONDS ? time / 1e6 : time);

/** Return the time of day of seconds since 1970. */
export const timeText = (time) => (time ? TIME.format(seconds(time) * 1000) : "");
export const dateTimeText = (time) => (time ? DATE_TIME.format(seconds(time) * 1000).replace(",", "") : "");

/** Return an age in seconds in few characters: 3s, 5m, 2h. */
export function ageText(age) {
    if (age < 60) return `${Math.floor(age)}s`;
    if (age < 3600) return `${Math.floor(age / 60)}m`;
    return age < 86400 ? `${Math.floor(age / 3600)}h` : `${Math.floor(age / 86400)}d`;
}
