/** The root `zarr.json` and the manifest in it: one document that names everything a store holds. */

import { StoreError, broken } from "./errors.js";
import { parse } from "./json.js";
import { violations } from "./schema.js";
import * as schemas from "./schemas.js";
import { Sha256 } from "./sha256.js";

/** @typedef {import("./types.js").Manifest} Manifest */
/** @typedef {import("./types.js").ArrayEntry} ArrayEntry */
/** @typedef {import("./types.js").StringsEntry} StringsEntry */
/** @typedef {import("./places/place.js").Place} Place */

/** The version of the specification that this reader knows ([VER-2]). */
export const VERSION = "0.1";
/** Required features that it knows ([VER-4]). */
export const FEATURES = ["parts"];

/**
 * Read a root and check what a reader has to: JSON, version, features, digest, members.
 *
 * @param {Place} place
 * @returns {Promise<Manifest>}
 */
export async function readManifest(place) {
  const bytes = await place.get("/zarr.json");
  if (bytes === undefined) {
    throw new StoreError("not-a-store", `${place.name}: there is no zarr.json, so there is no store [INT-13]`, {
      requirement: "INT-13",
    });
  }
  const root = parse(bytes, `${place.name}/zarr.json`);
  const manifest = root?.attributes?.scformat;
  if (root?.zarr_format !== 3 || root?.node_type !== "group" || typeof manifest !== "object" || manifest === null) {
    throw new StoreError(
      "not-a-store",
      `${place.name}: zarr.json is no Zarr v3 group with the attribute scformat [ZAR-1]`,
      { requirement: "ZAR-1" },
    );
  }
  refuseUnknown(manifest, place.name);
  const wrong = digestProblem(bytes, manifest.sha256);
  if (wrong) throw broken("INT-5", `${place.name}/zarr.json: ${wrong}`, "bad-digest");
  const [violation] = violations(manifest, schemas.manifest);
  const empty = nullIn(manifest, "");
  if (empty !== undefined) throw broken("MAN-2", `${place.name}/zarr.json:scformat${empty}: is null`, "bad-manifest");
  if (violation)
    throw broken("MAN-1", `${place.name}/zarr.json:scformat${violation.where}: ${violation.message}`, "bad-manifest");
  return manifest;
}

/**
 * Place of a member that is null ([MAN-2]).
 *
 * @param {any} value
 * @param {string} where
 * @returns {string | undefined}
 */
export function nullIn(value, where) {
  if (value === null) return where;
  if (typeof value !== "object") return undefined;
  for (const [name, member] of Object.entries(value)) {
    const found = nullIn(member, `${where}/${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Refuse a version or a required feature that is not known, before anything else of the manifest is used ([VER-4]).
 *
 * @param {any} manifest
 * @param {string} name
 */
function refuseUnknown(manifest, name) {
  if (manifest.format !== "scformat") {
    throw new StoreError(
      "not-a-store",
      `${name}: the format is ${JSON.stringify(manifest.format)}, expected "scformat" [MAN-1]`,
    );
  }
  if (manifest.version !== VERSION) {
    const found = JSON.stringify(manifest.version);
    throw new StoreError(
      "unknown-version",
      `${name}: version ${found} of the format; this reader knows ${VERSION} [VER-2]`,
      { requirement: "VER-2" },
    );
  }
  const required = manifest.required_features;
  if (!Array.isArray(required)) throw broken("MAN-1", `${name}: required_features is no list`, "bad-manifest");
  for (const feature of required) {
    if (!FEATURES.includes(feature)) {
      throw new StoreError(
        "unknown-feature",
        `${name}: needs the feature ${JSON.stringify(feature)}, which this reader does not know [VER-4]`,
        { requirement: "VER-4" },
      );
    }
  }
}

/**
 * What is wrong with the digest of a root ([INT-4], [INT-5]).
 *
 * @param {Uint8Array} bytes
 * @param {unknown} stated
 * @returns {string | undefined}
 */
export function digestProblem(bytes, stated) {
  if (typeof stated !== "string" || !/^[0-9a-f]{64}$/.test(stated)) return "the manifest's sha256 is no digest";
  const digits = new TextEncoder().encode(stated);
  const at = indexOf(bytes, digits, 0);
  if (at < 0 || indexOf(bytes, digits, at + 1) >= 0) return "the manifest's sha256 does not stand in it exactly once";
  const found = new Sha256()
    .update(bytes.subarray(0, at))
    .update("0".repeat(64))
    .update(bytes.subarray(at + 64))
    .hex();
  return found === stated
    ? undefined
    : `the manifest's digest does not fit the file: expected ${stated}, found ${found}`;
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array} part
 * @param {number} from
 */
function indexOf(bytes, part, from) {
  for (let at = bytes.indexOf(part[0], from); at >= 0; at = bytes.indexOf(part[0], at + 1)) {
    let i = 1;
    while (i < part.length && bytes[at + i] === part[i]) i++;
    if (i === part.length) return at;
  }
  return -1;
}

/**
 * What the chapters say of an array: `shape` has null where any extent is right; `fill` is a number, or `integer` or
 * `float` where it is chosen.
 *
 * @typedef {object} Described
 * @property {string} where in the manifest
 * @property {ArrayEntry} entry
 * @property {string[]} dtypes
 * @property {(number | null)[]} shape
 * @property {number | "integer" | "float"} fill
 * @property {string} requirement that says so, of the shape
 * @property {string} typed that says so, of the data type
 */

/**
 * Every array of a manifest that keeps the schema, with what it has to be.
 *
 * @param {Manifest} manifest
 * @returns {Generator<Described>}
 */
export function* arraysOf(manifest) {
  const { genes } = manifest;
  for (const name of /** @type {const} */ (["id", "symbol", "biotype"]))
    yield* strings(`genes/${name}`, genes[name], genes.n, "GEN-1");
  for (const name of /** @type {const} */ (["taxon", "by_id"]))
    yield described(`genes/${name}`, genes[name], "int32", [genes.n], "GEN-1");
  yield described("genes/resolved", genes.resolved, "uint8", [genes.n], "GEN-1");
  for (const [i, label] of manifest.labels.entries()) yield* ofLabel(`labels/${i}`, label);
  for (const [i, column] of manifest.obs.entries()) {
    if (column.categories) yield* strings(`obs/${i}/categories`, column.categories, null, "CEL-20");
  }
  for (const [i, part] of manifest.parts.entries()) yield* ofPart(`parts/${i}`, part, manifest);
  for (const [i, table] of manifest.tables.entries()) {
    if (violations(table, schemas.table).length === 0) yield* ofTable(`tables/${i}`, table);
  }
  for (const [i, { k, n_rows: n, rows, weights }] of (manifest.neighbours ?? []).entries()) {
    yield described(`neighbours/${i}/rows`, rows, ["int32", "int64"], [k, n], "NBR-2");
    if (weights) yield described(`neighbours/${i}/weights`, weights, "float32", [k, n], "NBR-2", "float");
  }
}

/**
 * @param {string} where
 * @param {ArrayEntry} entry
 * @param {string | string[]} dtypes
 * @param {(number | null)[]} shape
 * @param {string} requirement
 * @param {number | "integer" | "float"} [fill]
 * @returns {Described}
 */
function described(where, entry, dtypes, shape, requirement, fill) {
  const allowed = [dtypes].flat();
  const typed = requirement === "PRT-8" && where.includes("/obs/") ? "CEL-15" : requirement;
  return {
    where,
    entry,
    dtypes: allowed,
    shape,
    requirement,
    typed,
    fill: fill ?? (allowed[0] === "uint8" ? 255 : -2),
  };
}

/**
 * @param {string} where
 * @param {StringsEntry} entry
 * @param {number | null} n
 * @param {string} requirement
 */
function* strings(where, entry, n, requirement) {
  yield described(`${where}/bytes`, entry.bytes, "uint8", [null], "ZAR-22");
  const offsets = described(
    `${where}/offsets`,
    entry.offsets,
    "int64",
    [n === null ? null : n + 1],
    n === null ? "ZAR-22" : requirement,
  );
  yield { ...offsets, typed: "ZAR-22" };
}

/**
 * @param {string} where
 * @param {import("./types.js").LabelEntry} label
 */
function* ofLabel(where, label) {
  const n = label.categories.offsets.shape[0] - 1;
  yield* strings(`${where}/categories`, label.categories, null, "LAB-3");
  yield described(`${where}/counts`, label.counts, "int64", [n], "LAB-3");
  const graph = label.ontology;
  if (!graph) return;
  const at = `${where}/ontology`;
  const t = graph.n_terms;
  yield* strings(`${at}/id`, graph.id, t, "LAB-10");
  yield* strings(`${at}/name`, graph.name, t, "LAB-10");
  yield described(`${at}/edges`, graph.edges, "int32", [2, null], "LAB-10");
  yield described(`${at}/closure`, graph.closure, "int32", [null], "LAB-10");
  yield described(`${at}/closure_offsets`, graph.closure_offsets, "int64", [t + 1], "LAB-10");
  yield described(`${at}/counts`, graph.counts, "int64", [t], "LAB-10");
  yield described(`${at}/category_terms`, graph.category_terms, "int32", [n], "LAB-10");
}

/**
 * @param {string} where
 * @param {import("./types.js").PartEntry} part
 * @param {Manifest} manifest
 */
function* ofPart(where, part, manifest) {
  const n = part.n_cells;
  const shards = part.shard_rows.shape[0] - 1;
  yield described(
    `${where}/entries`,
    part.entries,
    "uint16",
    [2, shards * (part.entries.shard[1] ?? 0)],
    "PRT-8",
    65535,
  );
  yield described(`${where}/shard_rows`, part.shard_rows, "int64", [null], "PRT-8");
  yield described(`${where}/shard_digests`, part.shard_digests, "uint8", [shards, 64], "PRT-8");
  yield described(`${where}/index`, part.index, "int32", [part.fields.length, n], "PRT-8");
  yield described(`${where}/content`, part.content, "int64", [n], "PRT-8");
  yield* strings(`${where}/barcode`, part.barcode, n, "PRT-8");
  for (const [name, place] of Object.entries(part.labels)) {
    if (place.array) yield described(`${where}/labels/${name}/array`, place.array, "int32", [n], "PRT-8");
  }
  if (part.split?.array) yield described(`${where}/split/array`, part.split.array, "int32", [n], "PRT-8");
  for (const [name, values] of Object.entries(part.obs)) {
    yield* ofColumn(`${where}/obs/${name}`, values, manifest.obs.find((column) => column.name === name)?.kind, n);
  }
  const { sources } = part;
  const at = `${where}/sources`;
  yield* strings(`${at}/records`, sources.records, sources.n, "PRT-8");
  yield described(`${at}/measured`, sources.measured, "uint8", [sources.n, sources.n_genes], "PRT-8");
  yield described(`${at}/stats`, sources.stats, "int64", [4, sources.n, sources.n_genes], "PRT-8");
  yield* strings(`${at}/var_names`, sources.var_names, sources.var_gene.shape[0], "PRT-8");
  yield described(`${at}/var_offsets`, sources.var_offsets, "int64", [sources.n + 1], "PRT-8");
  yield described(`${at}/var_gene`, sources.var_gene, "int32", [null], "PRT-8");
}

/**
 * @param {string} where
 * @param {import("./types.js").ObsValues} values
 * @param {string | undefined} kind
 * @param {number} n
 */
function* ofColumn(where, values, kind, n) {
  if (values.values) {
    const at = `${where}/values`;
    if (kind === "boolean") yield described(at, values.values, "uint8", [n], "PRT-8");
    else if (kind === "float") yield described(at, values.values, ["float32", "float64"], [n], "PRT-8", "float");
    else yield described(at, values.values, ["int32", "int64", "uint32", "uint64"], [n], "PRT-8", "integer");
  }
  if (values.strings) yield* strings(`${where}/strings`, values.strings, n, "PRT-8");
  if (values.codes) yield described(`${where}/codes`, values.codes, "int32", [n], "PRT-8");
  if (values.missing) yield described(`${where}/missing`, values.missing, "uint8", [n], "PRT-8");
}

/**
 * @param {string} where
 * @param {import("./types.js").TableEntry} table
 */
export function* ofTable(where, table) {
  const k = table.n_strata;
  const m = 2 ** (table.bits - 32);
  yield described(`${where}/codes`, table.codes, "int32", [table.keys.length, k], "TAB-6");
  yield described(`${where}/counts`, table.counts, "int64", [k], "TAB-6");
  yield described(`${where}/masses`, table.masses, "int64", [k], "TAB-6");
  yield described(`${where}/threshold`, table.threshold, "int64", [m], "TAB-6");
  yield described(`${where}/alias`, table.alias, "int32", [m], "TAB-6");
  yield described(`${where}/offsets`, table.offsets, "int64", [k + 1], "TAB-6");
  if (table.run_start) yield described(`${where}/run_start`, table.run_start, "int64", [null], "TAB-6");
  if (table.run_length)
    yield described(`${where}/run_length`, table.run_length, "int64", [table.run_start?.shape[0] ?? null], "TAB-6");
  if (table.rows) yield described(`${where}/rows`, table.rows, ["int32", "int64"], [table.n_cells], "TAB-6");
}
