import { StoreError, lineOf } from "../errors.js";
import { relative, within } from "./place.js";

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Range} Range */

const ROOT = "zarr.json";
/** Of servers that send whole files whatever range was asked for, the last files are kept: bytes. */
const WHOLE_FILES = 2 ** 26;

/**
 * A store behind a URL, read with `fetch` and ranges.
 *
 * Everything but the root is immutable, so a browser may keep it; the root is asked for anew.
 *
 * @implements {Place}
 */
export class HttpPlace {
  #base;
  /** @type {Map<string, Uint8Array>} */
  #whole = new Map();

  /** @param {string | URL} url of the store, that is of what its root `zarr.json` lies in */
  constructor(url) {
    const base = new URL(url);
    base.pathname = `${base.pathname.replace(/\/(zarr\.json)?$/, "")}/`;
    base.hash = "";
    this.#base = base;
    this.name = base.href.replace(/\/$/, "");
  }

  /** @param {string} key */
  async get(key) {
    const response = await this.#fetch(key);
    return response && (await bytesOf(response));
  }

  /**
   * @param {string} key
   * @param {Range} range
   */
  async getRange(key, range) {
    const kept = this.#whole.get(key);
    if (kept) return kept.subarray(...within(range, kept.length));
    if ("length" in range && range.length === 0) return new Uint8Array(0);
    const bytes =
      "suffixLength" in range ? `-${range.suffixLength}` : `${range.offset}-${range.offset + range.length - 1}`;
    const response = await this.#fetch(key, { headers: { Range: `bytes=${bytes}` } });
    if (response === undefined) return undefined;
    if (response.status === 416) return new Uint8Array(0);
    const found = await bytesOf(response);
    if (response.status === 206) return found;
    this.#keep(key, found);
    return found.slice(...within(range, found.length));
  }

  /** @param {string} key */
  async size(key) {
    const response = await this.#fetch(key, { method: "HEAD" });
    const length = response?.headers.get("Content-Length");
    return response && (length == null ? (await this.get(key))?.length : Number(length));
  }

  /**
   * @param {string} key
   * @param {RequestInit} [options]
   * @returns {Promise<Response | undefined>} undefined where there is no such file
   */
  async #fetch(key, options = {}) {
    const url = new URL(this.#base);
    url.pathname += relative(key);
    /** @type {RequestCache} */
    const cache = relative(key) === ROOT ? "no-cache" : "default";
    let response;
    try {
      response = await fetch(url, { ...options, cache });
    } catch (error) {
      throw new StoreError(
        "unreachable",
        `${url.href}: ${lineOf(error)}; is the server up, and does it allow this page (CORS)?`,
        { cause: error },
      );
    }
    if (response.status === 404 || response.status === 410) return undefined;
    if (!response.ok && response.status !== 416) {
      throw new StoreError(
        "unreachable",
        `${url.href}: the server answered ${response.status} ${response.statusText}`.trim(),
      );
    }
    return response;
  }

  /**
   * @param {string} key
   * @param {Uint8Array} bytes
   */
  #keep(key, bytes) {
    let total = bytes.length;
    for (const old of this.#whole.values()) total += old.length;
    for (const [name, old] of this.#whole) {
      if (total <= WHOLE_FILES) break;
      this.#whole.delete(name);
      total -= old.length;
    }
    if (total <= WHOLE_FILES) this.#whole.set(key, bytes);
  }
}

/** @param {Response} response */
async function bytesOf(response) {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new StoreError("unreachable", `${response.url}: the answer broke off: ${lineOf(error)}`, { cause: error });
  }
}
