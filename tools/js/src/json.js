/**
 * JSON as [CNV-1] and [CNV-2] have it: `JSON.parse` takes the last of two members of one name, rounds numbers and says
 * nothing, and so two readers could see two manifests.
 */

import { StoreError } from "./errors.js";

/**
 * @typedef {{requirement: string, message: string, where: string}} Problem where: names of members, with slashes
 */

const DEEPEST = 200;

/**
 * Parse a document, and say what in it breaks [CNV-1] or [CNV-2] without being beyond reading.
 *
 * @param {Uint8Array} bytes
 * @returns {{value: any, problems: Problem[]}}
 * @throws {StoreError} `bad-json` where it is no JSON at all
 */
export function parseWithProblems(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StoreError("bad-json", "the document is not UTF-8 [CNV-1]", { requirement: "CNV-1" });
  }
  const problems = /** @type {Problem[]} */ ([]);
  if (text.charCodeAt(0) === 0xfeff) {
    problems.push({ requirement: "CNV-1", message: "begins with a byte order mark", where: "" });
    text = text.slice(1);
  }
  return { value: new Parser(text, problems).document(), problems };
}

/**
 * Parse a document that has to keep both statements.
 *
 * @param {Uint8Array} bytes
 * @param {string} where
 * @returns {any}
 */
export function parse(bytes, where) {
  let found;
  try {
    found = parseWithProblems(bytes);
  } catch (error) {
    throw new StoreError("bad-json", `${where}: ${/** @type {Error} */ (error).message}`, { requirement: "CNV-1" });
  }
  const [first] = found.problems;
  if (first) {
    throw new StoreError("bad-json", `${where}: ${first.message} [${first.requirement}]`, {
      requirement: first.requirement,
    });
  }
  return found.value;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES = /** @type {Record<string, string>} */ ({
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
});

class Parser {
  #text;
  #problems;
  #at = 0;
  /** @type {(string | number)[]} */
  #path = [];

  /**
   * @param {string} text
   * @param {Problem[]} problems
   */
  constructor(text, problems) {
    this.#text = text;
    this.#problems = problems;
  }

  document() {
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw this.#wrong("more after the document's end");
    return value;
  }

  /** @param {string} what */
  #wrong(what) {
    return new StoreError("bad-json", `not JSON at character ${this.#at}: ${what} [CNV-1]`, { requirement: "CNV-1" });
  }

  /**
   * @param {string} requirement
   * @param {string} message
   */
  #say(requirement, message) {
    this.#problems.push({ requirement, message, where: this.#path.join("/") });
  }

  #space() {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
      this.#at++;
    }
  }

  /** @returns {any} */
  #value() {
    this.#space();
    const first = this.#text[this.#at];
    if (first === "{" || first === "[") {
      if (this.#path.length >= DEEPEST) throw this.#wrong(`nested deeper than ${DEEPEST}`);
      return first === "{" ? this.#object() : this.#array();
    }
    if (first === '"') return this.#string();
    for (const [word, value] of /** @type {const} */ ([
      ["true", true],
      ["false", false],
      ["null", null],
    ])) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #object() {
    const found = /** @type {Record<string, any>} */ ({});
    const names = new Set();
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return found;
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#wrong("expected a member's name");
      const name = this.#string();
      if (names.has(name)) {
        this.#say("CNV-1", `the member ${JSON.stringify(name)} stands twice in one object`);
      }
      names.add(name);
      this.#space();
      if (this.#text[this.#at] !== ":") throw this.#wrong("expected a colon");
      this.#at++;
      // defineProperty: a member called __proto__ is a member like others
      this.#path.push(name);
      Object.defineProperty(found, name, {
        value: this.#value(),
        enumerable: true,
        writable: true,
        configurable: true,
      });
      this.#path.pop();
      this.#space();
      const next = this.#text[this.#at++];
      if (next === "}") return found;
      if (next !== ",") throw this.#wrong("expected a comma or the object's end");
    }
  }

  #array() {
    const found = /** @type {any[]} */ ([]);
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === "]") {
      this.#at++;
      return found;
    }
    for (;;) {
      this.#path.push(found.length);
      found.push(this.#value());
      this.#path.pop();
      this.#space();
      const next = this.#text[this.#at++];
      if (next === "]") return found;
      if (next !== ",") throw this.#wrong("expected a comma or the array's end");
    }
  }

  #string() {
    let found = "";
    this.#at++;
    for (;;) {
      PLAIN.lastIndex = this.#at;
      const plain = /** @type {RegExpExecArray} */ (PLAIN.exec(this.#text))[0];
      found += plain;
      this.#at += plain.length;
      const next = this.#text[this.#at++];
      if (next === '"') return found;
      if (next !== "\\") throw this.#wrong("a string that does not end, or holds a control character");
      const escape = this.#text[this.#at++];
      if (escape === "u") {
        const digits = this.#text.slice(this.#at, this.#at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#wrong("expected four hexadecimal digits");
        found += String.fromCharCode(parseInt(digits, 16));
        this.#at += 4;
      } else if (escape !== undefined && Object.hasOwn(ESCAPES, escape)) {
        found += ESCAPES[escape];
      } else {
        throw this.#wrong("an unknown escape");
      }
    }
  }

  #number() {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#wrong("expected a value");
    const [text, fraction, exponent] = match;
    const value = Number(text);
    // a number with a fraction stands for the nearest binary64
    const whole = fraction === undefined && exponent === undefined;
    if (!Number.isFinite(value) || (whole && !Number.isSafeInteger(value) && BigInt(text) !== BigInt(value))) {
      this.#say("CNV-2", `the number ${text} is not exact as binary64`);
    }
    this.#at += text.length;
    return value;
  }
}
