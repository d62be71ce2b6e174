/** Level 3 of strings ([ZAR-23]). */

/** @typedef {import("../strings.js").StoredStrings} StoredStrings */
/** @typedef {import("./findings.js").Findings} Findings */

const AT_ONCE = 65536;

/**
 * All strings; undefined where some cannot be read.
 *
 * @param {StoredStrings} strings
 * @param {Findings} findings
 * @returns {Promise<string[] | undefined>}
 */
export async function checkStrings(strings, findings) {
  return findings.guard(strings.offsets.path, async () => {
    const found = /** @type {string[]} */ ([]);
    for await (const some of inBlocks(strings)) for (const text of some) found.push(text);
    return found;
  });
}

/**
 * The same without keeping them.
 *
 * @param {StoredStrings} strings
 * @param {Findings} findings
 * @param {(text: string, i: number) => void} [look]
 */
export async function eachString(strings, findings, look) {
  await findings.guard(strings.offsets.path, async () => {
    let i = 0;
    for await (const some of inBlocks(strings)) for (const text of some) look?.(text, i++);
  });
}

/** @param {StoredStrings} strings */
async function* inBlocks(strings) {
  if (strings.length === 0) yield await strings.slice(0, 0);
  for (let start = 0; start < strings.length; start += AT_ONCE) {
    yield await strings.slice(start, Math.min(start + AT_ONCE, strings.length), { letFill: true });
  }
}
