/** Levels 2 and 3 of the container: groups, arrays, which files there are, and what is in them before it means anything. */

import { StoreError } from "../errors.js";
import { crc32c } from "../crc32c.js";
import { parseWithProblems } from "../json.js";
import { arraysOf } from "../manifest.js";
import { Sha256, sha256 } from "../sha256.js";
import { difference, each, expectedDocument } from "../zarr.js";
import { prefixesOf } from "./root.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").ArrayEntry} ArrayEntry */
/** @typedef {import("./findings.js").Findings} Findings */

const GROUP = { zarr_format: 3, node_type: "group", attributes: {} };
const ABSENT = 2n ** 64n - 1n;

/**
 * Every other `zarr.json`, and the names and sizes of files.
 *
 * @param {Store} store
 * @param {Findings} findings
 */
export async function checkHierarchy(store, findings) {
  const { manifest, place } = store;
  const entries = Array.from(arraysOf(manifest), ({ entry }) => entry);
  const expected = new Set(entries.flatMap(({ path }) => prefixesOf(path)));
  for (const path of expected) {
    if (!Object.hasOwn(manifest.groups, path)) findings.add("ZAR-5", path, "is a group that groups does not list");
  }
  for (const path of Object.keys(manifest.groups)) {
    if (!expected.has(path)) findings.add("ZAR-5", path, "groups lists it, and no array lies below it");
  }
  const groups = [...expected].sort();
  await each(groups.length, async (i) => {
    const path = groups[i];
    const bytes = await place.get(`/${path}/zarr.json`);
    if (bytes === undefined) {
      findings.add("ZAR-5", path, "there is no zarr.json");
      return;
    }
    const stated = Object.hasOwn(manifest.groups, path) ? manifest.groups[path] : undefined;
    const found = sha256(bytes);
    if (stated !== undefined && stated !== found) findings.add("INT-3", path, `expected ${stated}, found ${found}`);
    const document = parsed(bytes, path, findings);
    const differs = document === undefined ? undefined : difference(document, GROUP);
    if (differs) findings.add("ZAR-5", path, differs);
  });
  await each(entries.length, (i) => checkArray(store, entries[i], findings));
}

/**
 * @param {Uint8Array} bytes
 * @param {string} path
 * @param {Findings} findings
 */
function parsed(bytes, path, findings) {
  try {
    const { value, problems } = parseWithProblems(bytes);
    for (const { requirement, message } of problems) findings.add(requirement, path, message);
    return value;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    findings.add("CNV-1", path, error.message);
    return undefined;
  }
}

const PLACES = /** @type {[RegExp, string][]} */ ([
  [/^\/codecs\/0\/configuration\/[a-z_]+: .*, found none$/, "ZAR-9"], // a member is missing
  [/^\/(shape|data_type|fill_value|chunk_grid)/, "ZAR-12"],
  [/^\/codecs\/0\/configuration\/chunk_shape/, "ZAR-12"],
  [/^\/codecs\/0\/configuration\/codecs/, "ZAR-10"],
  [/^\/codecs\/0\/configuration\/index_/, "ZAR-11"],
]);

/**
 * @param {Store} store
 * @param {ArrayEntry} entry
 * @param {Findings} findings
 */
async function checkArray({ place }, entry, findings) {
  const bytes = await place.get(`/${entry.path}/zarr.json`);
  if (bytes === undefined) {
    findings.add("ZAR-9", entry.path, "there is no zarr.json");
  } else {
    const document = parsed(bytes, entry.path, findings);
    const differs = document === undefined ? undefined : difference(document, expectedDocument(entry));
    if (differs) findings.add(PLACES.find(([where]) => where.test(differs))?.[1] ?? "ZAR-9", entry.path, differs);
  }
  for (const name of filesOf(entry)) {
    if ((await place.size(`/${entry.path}/${name}`)) === undefined)
      findings.add("ZAR-15", `${entry.path}/${name}`, "there is no such file");
  }
  if (entry.shape.includes(0)) {
    const first = ["c", ...entry.shape.map(() => 0)].join("/");
    if ((await place.size(`/${entry.path}/${first}`)) !== undefined) {
      findings.add("ZAR-15", `${entry.path}/${first}`, "is a file of an array without elements");
    }
  }
}

/**
 * Files of an array's grid, in C order.
 *
 * @param {ArrayEntry} entry
 * @returns {Generator<string>}
 */
function* filesOf({ shape, shard }) {
  for (const at of grid(shape.map((n, axis) => Math.ceil(n / shard[axis])))) yield ["c", ...at].join("/");
}

/**
 * Coordinates of a grid in C order.
 *
 * @param {readonly number[]} extents
 * @returns {Generator<number[]>}
 */
function* grid(extents) {
  const total = extents.reduce((a, b) => a * b, 1);
  for (let i = 0; i < total; i++) {
    const at = extents.map(() => 0);
    for (let axis = extents.length - 1, rest = i; axis >= 0; axis--) {
      at[axis] = rest % extents[axis];
      rest = Math.floor(rest / extents[axis]);
    }
    yield at;
  }
}

/**
 * Digest of every array, and the index and the chunks of every file.
 *
 * @param {Store} store
 * @param {Findings} findings
 * @returns {Promise<Map<string, string[]>>} digests of the files of each array
 */
export async function checkFiles(store, findings) {
  const digests = /** @type {Map<string, string[]>} */ (new Map());
  for (const { where, entry } of arraysOf(store.manifest)) {
    const isEntries = /^parts\/\d+\/entries$/.test(where);
    digests.set(entry.path, await checkContent(store, entry, isEntries, findings));
  }
  return digests;
}

/**
 * @param {Store} store
 * @param {ArrayEntry} entry
 * @param {boolean} isEntries whose tails are fill values
 * @param {Findings} findings
 */
async function checkContent({ place }, entry, isEntries, findings) {
  const { path, shape, shard } = entry;
  const total = new Sha256();
  const digests = /** @type {string[]} */ ([]);
  const metadata = await place.get(`/${path}/zarr.json`);
  if (metadata === undefined) return digests;
  total.update(`${sha256(metadata)}  zarr.json\n`);
  for (const at of grid(shape.map((n, axis) => Math.ceil(n / shard[axis])))) {
    const name = ["c", ...at].join("/");
    const bytes = await place.get(`/${path}/${name}`);
    if (bytes === undefined) return digests;
    const digest = sha256(bytes);
    digests.push(digest);
    total.update(`${digest}  ${name}\n`);
    checkShard(bytes, entry, at, `${path}/${name}`, isEntries, findings);
  }
  const found = total.hex();
  if (found !== entry.sha256) findings.add("INT-2", path, `expected ${entry.sha256}, found ${found}`);
  return digests;
}

/**
 * @param {Uint8Array} bytes
 * @param {ArrayEntry} entry
 * @param {number[]} at
 * @param {string} where
 * @param {boolean} isEntries
 * @param {Findings} findings
 */
function checkShard(bytes, entry, at, where, isEntries, findings) {
  const { shape, chunk, shard } = entry;
  const per = shard.map((extent, axis) => extent / chunk[axis]);
  const n = per.reduce((a, b) => a * b, 1);
  const begin = bytes.length - 16 * n - 4;
  if (begin < 0) {
    findings.add("ZAR-11", where, `has ${bytes.length} bytes, its index alone has ${16 * n + 4}`);
    return;
  }
  const index = new DataView(bytes.buffer, bytes.byteOffset + begin, 16 * n + 4);
  const stated = index.getUint32(16 * n, true);
  const found = crc32c(bytes.subarray(begin, bytes.length - 4));
  if (stated !== found) {
    findings.add("ZAR-11", where, `the index's checksum is ${stated}, that of its bytes is ${found}`);
    return;
  }
  const ranges = /** @type {[number, number, string][]} */ ([]);
  let i = 0;
  for (const inner of grid(per)) {
    const [offset, length] = [index.getBigUint64(16 * i, true), index.getBigUint64(16 * i + 8, true)];
    i++;
    const chunkAt = inner.map((k, axis) => at[axis] * per[axis] + k);
    const within = chunkAt.every((k, axis) => k * chunk[axis] < shape[axis]);
    const name = `chunk ${chunkAt.join("/")}`;
    if (offset === ABSENT && length === ABSENT) {
      // of the counts, chunks of a tail are absent: checked where the cells are known
      if (within && !isEntries) findings.add("ZAR-16", where, `${name} is not in its shard`);
      continue;
    }
    if (offset === ABSENT || length === ABSENT || offset + length > BigInt(begin)) {
      findings.add(
        "ZAR-24",
        where,
        `${name} lies at ${offset} and has ${length} bytes, before the index there are ${begin}`,
      );
      continue;
    }
    if (!within) findings.add("ZAR-16", where, `${name} lies wholly beyond the shape`);
    ranges.push([Number(offset), Number(offset + length), name]);
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  ranges.forEach(([start, , name], k) => {
    if (k > 0 && start < ranges[k - 1][1]) findings.add("ZAR-24", where, `${name} overlaps ${ranges[k - 1][2]}`);
  });
}

/**
 * Elements of every chunk: none within the shape is the fill value, all beyond it are.
 *
 * @param {Store} store
 * @param {Findings} findings
 */
export async function checkElements(store, findings) {
  for (const { where, entry } of arraysOf(store.manifest)) {
    const isEntries = /^parts\/\d+\/entries$/.test(where);
    if (isEntries || entry.shape.includes(0)) continue;
    const array = store.array(entry);
    const extents = entry.shape.map((n, axis) => Math.ceil(n / entry.chunk[axis]));
    for (const at of grid(extents)) {
      const data = await findings.guard(entry.path, () => array.chunk(at));
      if (data !== undefined) checkChunk(data, entry, at, array.fill, findings);
    }
  }
}

/**
 * @param {any} data
 * @param {ArrayEntry} entry
 * @param {number[]} at
 * @param {number | bigint} fill
 * @param {Findings} findings
 */
function checkChunk(data, { path, shape, chunk }, at, fill, findings) {
  const last = shape.length - 1;
  const limits = shape.map((n, axis) => Math.min(chunk[axis], n - at[axis] * chunk[axis]));
  const name = `chunk ${at.join("/")}`;
  let [lost, beyond] = [false, false];
  let row = 0;
  for (const outer of grid(chunk.slice(0, last))) {
    const inside = outer.every((k, axis) => k < limits[axis]);
    const line = data.subarray(row * chunk[last], (row + 1) * chunk[last]);
    const limit = inside ? limits[last] : 0;
    lost ||= line.subarray(0, limit).indexOf(fill) >= 0;
    for (let k = limit; k < line.length && !beyond; k++) beyond = line[k] !== fill;
    row++;
  }
  if (lost) findings.add("ZAR-18", path, `${name} holds the fill value ${fill} within the shape`);
  if (beyond) findings.add("ZAR-17", path, `${name} holds something else than the fill value ${fill} beyond the shape`);
}
