// Make elements. Text from the server enters the page as text nodes only, never as HTML.

/**
 * Make an element.
 * properties: "text" sets textContent, "on" maps event names to listeners, others are attributes.
 * An attribute that is false, null or undefined is left out; true is an attribute without a value.
 */
export function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (name === "text") element.textContent = value;
        else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
        else if (value === true) element.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
}

/** Return the element of the page with this id. */
export function byId(id) {
    return document.getElementById(id);
}

/** Set the text of an element if it differs: an unchanged text costs no layout. */
export function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

/** Set the class of an element if it differs. */
export function setClass(element, name) {
    if (element.className !== name) element.className = name;
}
