/** Arrays of a store, read with zarrita.js: as the manifest says, checked, and never a fill value ([ZAR-20]). */

import * as zarrita from "zarrita";

import { Blosc } from "./blosc.js";
import { Crc32c } from "./crc32c.js";
import { StoreError, broken, lineOf } from "./errors.js";
import { parse } from "./json.js";

/** @typedef {import("./types.js").ArrayEntry} ArrayEntry */
/** @typedef {import("./types.js").Elements} Elements */
/** @typedef {import("./places/place.js").Place} Place */

zarrita.registry.set("crc32c", () => /** @type {any} */ (Crc32c));
zarrita.registry.set("blosc", () => /** @type {any} */ (Blosc));

/** Bytes of an element of each data type ([ZAR-8]). */
export const ITEM_SIZES = /** @type {Record<string, number>} */ ({
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  uint64: 8,
  int64: 8,
  float64: 8,
});

const CHUNKS_AT_ONCE = 12;
const CACHE_BYTES = 2 ** 26;

/**
 * What `zarr.json` of an array holds ([ZAR-9] to [ZAR-12]).
 *
 * @param {ArrayEntry} entry
 */
export function expectedDocument(entry) {
  const size = ITEM_SIZES[entry.dtype];
  const little = { name: "bytes", configuration: { endian: "little" } };
  const blosc = { cname: "lz4", clevel: 5, shuffle: "bitshuffle", typesize: size, blocksize: 0 };
  return {
    zarr_format: 3,
    node_type: "array",
    shape: entry.shape,
    data_type: entry.dtype,
    chunk_grid: { name: "regular", configuration: { chunk_shape: entry.shard } },
    chunk_key_encoding: { name: "default", configuration: { separator: "/" } },
    fill_value: entry.fill,
    codecs: [
      {
        name: "sharding_indexed",
        configuration: {
          chunk_shape: entry.chunk,
          codecs: [
            size === 1 ? { name: "bytes" } : little,
            { name: "blosc", configuration: blosc },
            { name: "crc32c" },
          ],
          index_codecs: [little, { name: "crc32c" }],
          index_location: "end",
        },
      },
    ],
    attributes: {},
  };
}

/**
 * First place where two JSON values differ.
 *
 * @param {any} found
 * @param {any} expected
 * @param {string} [where]
 * @returns {string | undefined}
 */
export function difference(found, expected, where = "") {
  if (found === expected) return undefined;
  const kinds = [found, expected].map((value) =>
    value === null ? "null" : Array.isArray(value) ? "array" : typeof value,
  );
  if (kinds[0] !== kinds[1] || !["object", "array"].includes(kinds[0])) {
    return `${where || "/"}: expected ${JSON.stringify(expected) ?? "no such member"}, found ${JSON.stringify(found) ?? "none"}`;
  }
  for (const name of new Set([...Object.keys(expected), ...Object.keys(found)])) {
    const one = Object.hasOwn(found, name) ? found[name] : undefined;
    const other = Object.hasOwn(expected, name) ? expected[name] : undefined;
    const inner = difference(one, other, `${where}/${name}`);
    if (inner) return inner;
  }
  return undefined;
}

/** Decoded chunks, the last used ones, up to a number of bytes; shared by the arrays of a store. */
export class ChunkCache {
  /** @type {Map<string, Elements>} */
  #kept = new Map();
  #bytes = 0;
  #most;

  /** @param {number} [most] bytes */
  constructor(most = CACHE_BYTES) {
    this.#most = most;
  }

  /** @param {string} key */
  get(key) {
    const found = this.#kept.get(key);
    if (found !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, found);
    }
    return found;
  }

  /**
   * @param {string} key
   * @param {Elements} data
   */
  set(key, data) {
    if (data.byteLength > this.#most || this.#kept.has(key)) return;
    this.#kept.set(key, data);
    this.#bytes += data.byteLength;
    for (const [old, { byteLength }] of this.#kept) {
      if (this.#bytes <= this.#most) break;
      this.#kept.delete(old);
      this.#bytes -= byteLength;
    }
  }
}

/**
 * Run tasks, a few at a time.
 *
 * @template T
 * @param {number} n
 * @param {(i: number) => Promise<T>} task
 * @param {number} [atOnce]
 */
export async function each(n, task, atOnce = CHUNKS_AT_ONCE) {
  let next = 0;
  const work = async () => {
    while (next < n) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(n, atOnce) }, work));
}

/** An array of the manifest. Nothing is read until something of it is asked for. */
export class StoredArray {
  #place;
  #prefix;
  #cache;
  /** @type {Promise<zarrita.Array<zarrita.DataType>> | undefined} */
  #opened;
  /** @type {Map<string, Promise<Elements>>} */
  #pending = new Map();

  /**
   * @param {Place} place
   * @param {ArrayEntry} entry
   * @param {ChunkCache} cache
   * @param {string} [prefix] of paths
   */
  constructor(place, entry, cache, prefix = "/") {
    this.#place = place;
    this.#prefix = prefix;
    this.#cache = cache;
    this.entry = entry;
    this.path = entry.path;
    this.shape = entry.shape;
    /** Extent of the last axis. */
    this.length = entry.shape[entry.shape.length - 1];
    this.fill = entry.dtype === "int64" || entry.dtype === "uint64" ? BigInt(entry.fill) : entry.fill;
  }

  /** Path and what is wrong, in one line. @param {string} what */
  where(what) {
    return `${this.path}: ${what}`;
  }

  async #open() {
    const { path, entry } = this;
    const key = `${this.#prefix}${path}/zarr.json`;
    const bytes = await this.#place.get(key);
    if (bytes === undefined) throw broken("ZAR-9", this.where("there is no zarr.json"), "missing-file");
    const document = parse(bytes, key.slice(1));
    const differs = difference(document, expectedDocument(entry));
    if (differs) throw broken("ZAR-12", this.where(`zarr.json is not what the manifest says, at ${differs}`));
    return new zarrita.Array(/** @type {any} */ (this.#place), `${/** @type {"/"} */ (this.#prefix)}${path}`, document);
  }

  /**
   * A whole chunk, with what of it lies beyond the shape; a missing one is fill values.
   *
   * @param {readonly number[]} coordinates
   * @returns {Promise<Elements>}
   */
  chunk(coordinates) {
    const name = coordinates.join("/");
    const key = `${this.path}/${name}`;
    const kept = this.#cache.get(key);
    if (kept !== undefined) return Promise.resolve(kept);
    let found = this.#pending.get(name);
    if (found === undefined) {
      found = this.#fetch(coordinates, key).finally(() => this.#pending.delete(name));
      this.#pending.set(name, found);
    }
    return found;
  }

  /**
   * @param {readonly number[]} coordinates
   * @param {string} key
   */
  async #fetch(coordinates, key) {
    this.#opened ??= this.#open();
    const array = await this.#opened;
    let data;
    try {
      data = /** @type {Elements} */ ((await array.getChunk([...coordinates])).data);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      const line = lineOf(error);
      const requirement = line.includes("blosc:") ? "ZAR-10" : "ZAR-21";
      const damaged = this.where(`chunk ${coordinates.join("/")} cannot be read: ${line}`);
      throw new StoreError("damaged", `${damaged} [${requirement}]`, { cause: error, requirement });
    }
    const expected = this.entry.chunk.reduce((a, b) => a * b, 1);
    if (data.length !== expected) {
      throw broken(
        "ZAR-10",
        this.where(`chunk ${coordinates.join("/")} has ${data.length} elements, expected ${expected}`),
      );
    }
    this.#cache.set(key, data);
    return data;
  }

  /**
   * Elements of a region, in C order. Refuses fill values unless told to let them pass.
   *
   * @param {readonly (readonly [number, number])[]} region first and last (excluded) along each axis
   * @param {{letFill?: boolean}} [options]
   * @returns {Promise<any>} a typed array of the data type: any, since the manifest and not the type checker knows it
   */
  async read(region, { letFill = false } = {}) {
    const { chunk, dtype, shape } = this.entry;
    region.forEach(([start, stop], axis) => {
      if (!(start >= 0 && start <= stop && stop <= shape[axis])) {
        throw new RangeError(`${this.path}: ${start} to ${stop} is not within ${shape[axis]}`);
      }
    });
    const extents = region.map(([start, stop]) => stop - start);
    const out = elementsOf(
      dtype,
      extents.reduce((a, b) => a * b, 1),
    );
    if (out.length === 0) return out;
    const firsts = region.map(([start], axis) => Math.floor(start / chunk[axis]));
    const spans = region.map(([, stop], axis) => Math.ceil(stop / chunk[axis]) - firsts[axis]);
    const total = spans.reduce((a, b) => a * b, 1);
    await each(total, async (number) => {
      const coordinates = spans.map(() => 0);
      for (let axis = spans.length - 1, rest = number; axis >= 0; axis--) {
        coordinates[axis] = firsts[axis] + (rest % spans[axis]);
        rest = Math.floor(rest / spans[axis]);
      }
      const data = await this.chunk(coordinates);
      place(data, coordinates, chunk, out, region, extents);
    });
    if (!letFill) this.refuseFill(out);
    return out;
  }

  /** All elements, in C order. @returns {Promise<any>} */
  all() {
    return this.read(this.shape.map((n) => [0, n]));
  }

  /**
   * Elements along the last axis of an array of one.
   *
   * @param {number} start
   * @param {number} stop
   * @returns {Promise<any>}
   */
  slice(start, stop) {
    return this.read([[start, stop]]);
  }

  /** @param {Elements} data */
  refuseFill(data) {
    const at = /** @type {any} */ (data).indexOf(this.fill);
    if (at >= 0) {
      throw broken(
        "ZAR-20",
        this.where(`holds the fill value ${this.fill} where data must be: a chunk or a file is lost`),
        "lost-chunk",
      );
    }
  }
}

const CONSTRUCTORS = /** @type {Record<string, new (n: number) => Elements>} */ ({
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float32: Float32Array,
  float64: Float64Array,
});

/**
 * @param {string} dtype
 * @param {number} n
 * @returns {any}
 */
export function elementsOf(dtype, n) {
  return new CONSTRUCTORS[dtype](n);
}

/**
 * Copy what of a chunk lies in a region.
 *
 * @param {any} data
 * @param {readonly number[]} coordinates
 * @param {readonly number[]} chunk
 * @param {any} out
 * @param {readonly (readonly [number, number])[]} region
 * @param {readonly number[]} extents
 */
function place(data, coordinates, chunk, out, region, extents) {
  const last = chunk.length - 1;
  const from = region.map(([start], axis) => Math.max(start, coordinates[axis] * chunk[axis]));
  const to = region.map(([, stop], axis) => Math.min(stop, (coordinates[axis] + 1) * chunk[axis]));
  /**
   * @param {number} axis
   * @param {number} source
   * @param {number} target
   */
  const copy = (axis, source, target) => {
    if (axis === last) {
      const begin = source * chunk[axis] + from[axis] - coordinates[axis] * chunk[axis];
      out.set(
        data.subarray(begin, begin + to[axis] - from[axis]),
        target * extents[axis] + from[axis] - region[axis][0],
      );
      return;
    }
    for (let i = from[axis]; i < to[axis]; i++) {
      copy(
        axis + 1,
        source * chunk[axis] + i - coordinates[axis] * chunk[axis],
        target * extents[axis] + i - region[axis][0],
      );
    }
  };
  copy(0, 0, 0);
}

/**
 * 64-bit integers as numbers.
 *
 * @param {BigInt64Array} values
 * @param {string} where
 * @returns {Float64Array}
 */
export function asNumbers(values, where) {
  const found = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    found[i] = Number(values[i]);
    if (!Number.isSafeInteger(found[i])) throw broken("CNV-2", `${where}: ${values[i]} is beyond 2^53`);
  }
  return found;
}
