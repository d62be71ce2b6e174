/**
 * A place that a store lies at: a directory, a server, a folder that the browser was given. It is what zarrita.js calls a
 * readable store, and can say how long a file is.
 *
 * @typedef {{offset: number, length: number} | {suffixLength: number}} Range
 *
 * @typedef {object} Place
 * @property {string} name what a person would call it
 * @property {(key: string) => Promise<Uint8Array | undefined>} get a whole file; undefined where there is none
 * @property {(key: string, range: Range) => Promise<Uint8Array | undefined>} getRange bytes of a file, fewer where it is shorter
 * @property {(key: string) => Promise<number | undefined>} size bytes of a file; undefined where there is none
 */

/**
 * First and last byte (excluded) of a range in a file, within what the file has.
 *
 * @param {Range} range
 * @param {number} size
 * @returns {[number, number]}
 */
export function within(range, size) {
  if ("suffixLength" in range) return [Math.max(0, size - range.suffixLength), size];
  const start = Math.min(range.offset, size);
  return [start, Math.min(range.offset + range.length, size)];
}

/**
 * Key without the slash that zarrita.js begins one with.
 *
 * @param {string} key
 */
export function relative(key) {
  return key.startsWith("/") ? key.slice(1) : key;
}
