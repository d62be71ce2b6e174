/** Node only: a store in a directory. */

import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { StoreError, lineOf } from "../errors.js";
import { relative, within } from "./place.js";

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Range} Range */

/** @implements {Place} */
export class DirectoryPlace {
  /** @param {string} path */
  constructor(path) {
    this.name = path;
  }

  /** @param {string} key */
  async get(key) {
    return this.#attempt(key, async (path) => {
      const bytes = await readFile(path);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    });
  }

  /**
   * @param {string} key
   * @param {Range} range
   */
  async getRange(key, range) {
    return this.#attempt(key, async (path) => {
      const file = await open(path);
      try {
        const [start, stop] = within(range, (await file.stat()).size);
        const bytes = new Uint8Array(stop - start);
        for (let done = 0; done < bytes.length;) {
          const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done);
          if (bytesRead === 0) return bytes.subarray(0, done);
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    });
  }

  /** @param {string} key */
  async size(key) {
    return this.#attempt(key, async (path) => {
      const found = await stat(path);
      return found.isFile() ? found.size : undefined;
    });
  }

  /**
   * @template T
   * @param {string} key
   * @param {(path: string) => Promise<T>} read
   * @returns {Promise<T | undefined>}
   */
  async #attempt(key, read) {
    const path = join(this.name, relative(key));
    try {
      return await read(path);
    } catch (error) {
      const code = /** @type {NodeJS.ErrnoException} */ (error).code;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw new StoreError("unreadable", `${path}: ${lineOf(error)}`, { cause: error });
    }
  }
}
