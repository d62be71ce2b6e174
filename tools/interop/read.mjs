// node read.mjs STORE: reads every array of a cell store with zarrita.js; one JSON line an array, see README.md.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { FileSystemStore } from "@zarrita/storage";
import * as zarr from "zarrita";

import { Crc32c } from "./crc32c.mjs";

zarr.registry.set("crc32c", () => Crc32c);

const CHUNKS_AT_ONCE = 16;

const ELEMENTS = {
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
};

/** Arrays that a manifest names, wherever in it they stand. */
function* arraysOf(value) {
  if (value === null || typeof value !== "object") return;
  if ("sha256" in value && "chunk" in value) yield value;
  else for (const member of Object.values(value)) yield* arraysOf(member);
}

/** Regions of an array that its files cover, cut to its shape, in C order. */
function* regionsOf(shape, shard, axis = 0) {
  if (axis === shape.length) {
    yield [];
    return;
  }
  for (let start = 0; start < shape[axis]; start += shard[axis]) {
    const some = zarr.slice(start, Math.min(start + shard[axis], shape[axis]));
    for (const rest of regionsOf(shape, shard, axis + 1)) yield [some, ...rest];
  }
}

/** zarrita's own queue opens a file for every chunk of a selection at once: thousands, for a shard of the counts. */
function boundedQueue() {
  const waiting = [];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await next();
  };
  return {
    add: (task) => waiting.push(task),
    onIdle: () => Promise.all(Array.from({ length: CHUNKS_AT_ONCE }, work)),
  };
}

const bytesOf = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

async function read(root, { path, shard }) {
  const array = await zarr.open.v3(root.resolve(path), { kind: "array" });
  const Elements = ELEMENTS[array.dtype];
  const hash = createHash("sha256");
  for (const region of regionsOf(array.shape, shard)) {
    const { data } = await zarr.get(array, region, { createQueue: boundedQueue });
    if (data.constructor !== Elements) throw new Error(`${array.dtype} came as ${data.constructor.name}`);
    hash.update(bytesOf(data));
  }
  return {
    dtype: array.dtype,
    shape: array.shape,
    chunk: array.chunks,
    fill: Buffer.from(bytesOf(Elements.of(array.fillValue))).toString("hex"),
    sha256: hash.digest("hex"),
  };
}

const [store] = process.argv.slice(2);
if (store === undefined) throw new Error("usage: node read.mjs STORE");
const manifest = JSON.parse(await readFile(join(store, "zarr.json"), "utf8")).attributes.scformat;
const root = zarr.root(new FileSystemStore(store));
for (const array of arraysOf(manifest)) {
  let found;
  try {
    found = await read(root, array);
  } catch (error) {
    found = { error: [error.message, error.cause?.message].filter(Boolean).join(": ") };
  }
  console.log(JSON.stringify({ path: array.path, ...found }));
}
