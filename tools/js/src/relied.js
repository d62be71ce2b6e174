/**
 * Statements of the manifest that reading relies on: where one does not hold, values could be wrong, so a store is refused
 * when it is opened ([CNF-5]). The validator reports all of them; what only the validator needs is in validate/.
 */

import { arraysOf } from "./manifest.js";
import { ITEM_SIZES } from "./zarr.js";

/** @typedef {import("./types.js").Manifest} Manifest */
/** @typedef {{requirement: string, where: string, message: string}} Finding */

/**
 * @param {Manifest} manifest that is valid against the schema
 * @returns {Generator<Finding>}
 */
export function* relied(manifest) {
  yield* arrays(manifest);
  yield* rows(manifest);
  for (const [i, part] of manifest.parts.entries()) yield* ofPart(`parts/${i}`, part, manifest);
}

/**
 * @param {string} requirement
 * @param {string} where
 * @param {string} message
 * @returns {Finding}
 */
export const finding = (requirement, where, message) => ({ requirement, where, message });

/**
 * @param {Manifest} manifest
 * @returns {Generator<Finding>}
 */
function* arrays(manifest) {
  for (const { where, entry, dtypes, shape, fill, requirement, typed } of arraysOf(manifest)) {
    const { dtype, chunk, shard } = entry;
    const found = entry.shape;
    if (found.length !== chunk.length || found.length !== shard.length) {
      yield finding(
        "MAN-5",
        where,
        `shape, chunk and shard have ${found.length}, ${chunk.length} and ${shard.length} axes`,
      );
      continue;
    }
    if (!dtypes.includes(dtype))
      yield finding(typed, where, `the data type is ${dtype}, expected ${dtypes.join(" or ")}`);
    if (found.length !== shape.length || shape.some((n, axis) => n !== null && n !== found[axis])) {
      const expected = shape.map((n) => n ?? "any").join(", ");
      yield finding(requirement, where, `the shape is [${found.join(", ")}], expected [${expected}]`);
    }
    if (shard.some((n, axis) => n % chunk[axis] !== 0)) {
      yield finding("ZAR-13", where, `the shard [${shard}] is no whole number of chunks [${chunk}]`);
    }
    const wrong = fillProblem(entry, fill);
    if (wrong) yield finding("ZAR-19", where, `the fill value is ${entry.fill}, expected ${wrong}`);
  }
}

/**
 * @param {import("./types.js").ArrayEntry} entry
 * @param {number | "integer" | "float"} expected
 * @returns {string | undefined} what was expected
 */
function fillProblem({ dtype, fill }, expected) {
  if (typeof expected === "number") return fill === expected ? undefined : String(expected);
  if (expected === "float") {
    const fits = Number.isFinite(fill) && (dtype !== "float32" || Math.fround(fill) === fill);
    return fits ? undefined : `a finite ${dtype}`;
  }
  const bits = 8 * (ITEM_SIZES[dtype] ?? 8);
  const [low, high] = dtype.startsWith("u")
    ? [0n, 2n ** BigInt(bits) - 1n]
    : [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n];
  if (!Number.isInteger(fill) || BigInt(fill) < low || BigInt(fill) > high) return `a value of ${dtype}`;
  return bits < 64 || fill % 4096 === 0 ? undefined : "a multiple of 4096";
}

/**
 * @param {Manifest} manifest
 * @returns {Generator<Finding>}
 */
function* rows(manifest) {
  let [cells, entries, sources] = [0, 0, 0];
  for (const [i, part] of manifest.parts.entries()) {
    if (part.start !== cells) yield finding("PRT-1", `parts/${i}/start`, `is ${part.start}, expected ${cells}`);
    if (part.sources.first !== sources)
      yield finding("PRT-5", `parts/${i}/sources/first`, `is ${part.sources.first}, expected ${sources}`);
    cells += part.n_cells;
    entries += part.n_entries;
    sources += part.sources.n;
  }
  if (manifest.n_cells !== cells) yield finding("PRT-3", "n_cells", `is ${manifest.n_cells}, the parts have ${cells}`);
  if (manifest.n_entries !== entries)
    yield finding("PRT-3", "n_entries", `is ${manifest.n_entries}, the parts have ${entries}`);
}

const FIRST_FIELDS = ["row_end", "source", "source_row", "total_counts", "n_genes"];

/**
 * @param {string} where
 * @param {import("./types.js").PartEntry} part
 * @param {Manifest} manifest
 * @returns {Generator<Finding>}
 */
function* ofPart(where, part, manifest) {
  const { fields, entries, index } = part;
  if (
    FIRST_FIELDS.some((name, i) => fields[i] !== name) ||
    new Set(fields).size !== fields.length ||
    index.shape[0] !== fields.length
  ) {
    const expected = `${FIRST_FIELDS.join(", ")} first, no name twice, and ${index.shape[0]} of them`;
    yield finding("CEL-1", `${where}/fields`, `are ${fields.join(", ")}; expected ${expected}`);
  }
  if (index.chunk[0] !== fields.length || index.shard[0] !== fields.length) {
    yield finding(
      "CEL-2",
      `${where}/index`,
      `chunks and shards have ${index.chunk[0]} and ${index.shard[0]} of ${fields.length} fields`,
    );
  }
  const e = entries.shard[1] ?? 0;
  if (entries.chunk[0] !== 2 || entries.shard[0] !== 2 || entries.shape[1] % e !== 0 || e >= 2 ** 31) {
    yield finding(
      "CNT-12",
      `${where}/entries`,
      `chunk [${entries.chunk}], shard [${entries.shard}], shape [${entries.shape}]`,
    );
  }
  if (part.sources.n_genes > manifest.genes.n) {
    yield finding("PRT-9", `${where}/sources/n_genes`, `is ${part.sources.n_genes}, the store has ${manifest.genes.n}`);
  }
  const known = new Set(manifest.labels.map((label) => label.name));
  const used = new Set();
  for (const [name, place] of [
    ...Object.entries(part.labels),
    ...(part.split ? [/** @type {const} */ ([null, part.split])] : []),
  ]) {
    const at = name === null ? `${where}/split` : `${where}/labels/${name}`;
    if ((place.field === undefined) === (place.array === undefined))
      yield finding("MAN-1", at, "expected exactly one of field and array");
    if (name !== null && !known.has(name)) yield finding("LAB-5", at, "the manifest lists no label of this name");
    if (place.field === undefined) continue;
    if (place.field < 5 || place.field >= fields.length || used.has(place.field)) {
      yield finding("CEL-4", at, `field ${place.field} of ${fields.length}: expected one from 5 on that is used once`);
    }
    used.add(place.field);
  }
  yield* columns(where, part, manifest);
  if ((manifest.splits === undefined) !== (part.split === undefined)) {
    yield finding(
      "SPL-1",
      `${where}/split`,
      manifest.splits ? "is missing, the manifest has splits" : "is there, the manifest has no splits",
    );
  }
}

const HOLDS = /** @type {Record<string, string>} */ ({
  integer: "values",
  float: "values",
  boolean: "values",
  string: "strings",
  categorical: "codes",
});

/**
 * @param {string} where
 * @param {import("./types.js").PartEntry} part
 * @param {Manifest} manifest
 * @returns {Generator<Finding>}
 */
function* columns(where, part, manifest) {
  for (const [name, values] of Object.entries(part.obs)) {
    const at = `${where}/obs/${name}`;
    const column = manifest.obs.find((other) => other.name === name);
    if (column === undefined) {
      yield finding("CEL-13", at, "the manifest lists no column of this name");
      continue;
    }
    const expected = column.label === undefined ? HOLDS[column.kind] : undefined;
    const found = ["values", "strings", "codes"].filter((member) => Object.hasOwn(values, member));
    if (found.join() !== (expected ?? "")) {
      yield finding(
        "CEL-15",
        at,
        `has ${found.join(", ") || "no values"}, expected ${expected ?? "none: its label has them"}`,
      );
    }
    if (values.missing && (values.codes || column.label !== undefined))
      yield finding("CEL-15", at, "has missing beside codes");
  }
}
