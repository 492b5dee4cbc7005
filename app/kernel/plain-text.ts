/** One line of text that every database can keep: no control characters, NUL among them, and no half of a surrogate pair. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this refuses.
export const PLAIN_TEXT = /^[^\u0000-\u001f\u007f\u2028\u2029\p{Surrogate}]*$/u;

export const PLAIN_TEXT_FAULT = 'control characters and broken Unicode are not allowed';
