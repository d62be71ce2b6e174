/** What a validator found, and what it could not look at ([CNF-1], [CNF-2]). */

import { StoreError } from "../errors.js";

/** @typedef {{requirement: string, where: string, message: string}} Finding */

/** Findings of one statement that are listed; the others are counted. */
const LISTED = 10;

export class Findings {
  /** @type {Finding[]} */
  list = [];
  /** @type {{requirement: string, message: string}[]} */
  unchecked = [];
  /** @type {Map<string, number>} */
  #times = new Map();

  /**
   * @param {string} requirement
   * @param {string} where
   * @param {string} message what was expected and what was found
   */
  add(requirement, where, message) {
    const times = (this.#times.get(requirement) ?? 0) + 1;
    this.#times.set(requirement, times);
    if (times <= LISTED) this.list.push({ requirement, where, message });
  }

  /** @param {Finding} finding */
  push({ requirement, where, message }) {
    this.add(requirement, where, message);
  }

  /** @param {string} requirement */
  has(requirement) {
    return this.#times.has(requirement);
  }

  /**
   * @param {string} requirement
   * @param {string} message why
   */
  leave(requirement, message) {
    if (!this.unchecked.some((other) => other.requirement === requirement && other.message === message)) {
      this.unchecked.push({ requirement, message });
    }
  }

  /**
   * Run a check; what a reader refuses in it is a finding, and the checks after it go on.
   *
   * @template T
   * @param {string} where
   * @param {() => Promise<T>} check
   * @returns {Promise<T | undefined>}
   */
  async guard(where, check) {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof StoreError) || error.requirement === undefined) throw error;
      this.add(STATEMENTS[error.requirement] ?? error.requirement, where, error.message);
      return undefined;
    }
  }

  /** All findings; where there are too many of one statement, how many. */
  all() {
    const more = [...this.#times].filter(([, times]) => times > LISTED);
    return [
      ...this.list,
      ...more.map(([requirement, times]) => ({ requirement, where: "", message: `${times - LISTED} more of these` })),
    ];
  }
}

/** Statements on readers, and those on stores that they meet broken. */
const STATEMENTS = /** @type {Record<string, string>} */ ({
  "ZAR-20": "ZAR-18",
  "ZAR-21": "ZAR-10",
  "CNT-6": "ZAR-18",
});
