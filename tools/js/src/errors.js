/** Refusals: one line, with a code that does not change and, where a name was wrong, the names that were near. */

export class StoreError extends Error {
  /**
   * @param {string} code stable, in kebab case
   * @param {string} message one line: what, where, expected, found
   * @param {{cause?: unknown, requirement?: string}} [options] the number of the statement that was broken, if one was
   */
  constructor(code, message, { cause, requirement } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "StoreError";
    this.code = code;
    this.requirement = requirement;
  }
}

/**
 * Refusal of data that breaks a statement of the specification.
 *
 * @param {string} requirement such as `CNT-6`
 * @param {string} message
 * @param {string} [code]
 */
export function broken(requirement, message, code = "damaged") {
  return new StoreError(code, `${message} [${requirement}]`, { requirement });
}

/**
 * One line about anything that was thrown, with what caused it.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function lineOf(error) {
  if (!(error instanceof Error)) return String(error);
  const cause = error instanceof StoreError || error.cause === undefined ? "" : `: ${lineOf(error.cause)}`;
  return `${error.message}${cause}`.replace(/\s+/g, " ").trim();
}

/**
 * Refusal of a name that is not there.
 *
 * @param {string} what such as `table`
 * @param {string} name
 * @param {readonly string[]} known
 */
export function unknownName(what, name, known) {
  const near = known
    .map((other) => ({ other, away: distance(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ other, away }) => away <= Math.max(2, Math.min(name.length, other.length) / 3))
    .sort((a, b) => a.away - b.away)
    .slice(0, 3)
    .map(({ other }) => other);
  let hint = known.length === 0 ? "there is none" : `there are ${known.slice(0, 8).join(", ")}`;
  if (near.length > 0) hint = `did you mean ${near.join(", ")}?`;
  return new StoreError("unknown-name", `no ${what} is called ${JSON.stringify(name)}: ${hint}`);
}

/**
 * Number of edits between two words.
 *
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
