/** Level 1: the root `zarr.json` alone. */

import { StoreError } from "../errors.js";
import { parseWithProblems } from "../json.js";
import { FEATURES, VERSION, arraysOf, digestProblem, nullIn } from "../manifest.js";
import { relied } from "../relied.js";
import { violations } from "../schema.js";
import * as schemas from "../schemas.js";
import { cellsDigest } from "../table.js";

/** @typedef {import("../types.js").Manifest} Manifest */
/** @typedef {import("./findings.js").Findings} Findings */

const ROOT = "zarr.json";
const AT = "zarr.json:scformat";

/**
 * Check a root.
 *
 * @param {Uint8Array} bytes
 * @param {Findings} findings
 * @returns {Manifest | undefined} undefined where nothing below the root can be checked
 */
export function checkRoot(bytes, findings) {
  let root;
  try {
    const parsed = parseWithProblems(bytes);
    root = parsed.value;
    for (const { requirement, message, where } of parsed.problems) {
      findings.add(requirement, `${ROOT}:${where}`, message);
      // rounded, it could be one that is allowed
      if (requirement === "CNV-2" && where.endsWith("/fill")) findings.add("ZAR-19", `${ROOT}:${where}`, message);
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    findings.add("CNV-1", ROOT, error.message);
    return undefined;
  }
  let manifest = root?.attributes?.scformat;
  if (root?.zarr_format !== 3 || root?.node_type !== "group" || typeof manifest !== "object" || manifest === null) {
    findings.add("ZAR-1", ROOT, "is no Zarr v3 group with an attribute scformat");
    return undefined;
  }
  if (manifest.version !== VERSION) {
    findings.add("VER-1", `${AT}/version`, `expected ${VERSION}, found ${JSON.stringify(manifest.version)}`);
    return undefined;
  }
  if (Object.hasOwn(root, "consolidated_metadata")) findings.add("ZAR-2", ROOT, "has the member consolidated_metadata");
  const wrong = digestProblem(bytes, manifest.sha256);
  if (wrong) findings.add("INT-4", ROOT, wrong);
  for (let where = nullIn(manifest, ""); where !== undefined; where = nullIn(manifest, "")) {
    findings.add("MAN-2", `${AT}${where}`, "is null");
    manifest = without(manifest, where.split("/").slice(1));
  }
  const broken = violations(manifest, schemas.manifest);
  for (const { where, message } of broken) findings.add(statementOf(where, message), `${AT}${where}`, message);
  if (broken.length > 0) return undefined;
  const before = findings.all().length;
  for (const finding of relied(manifest)) findings.push({ ...finding, where: `${AT}/${finding.where}` });
  checkFeatures(manifest, findings);
  checkPaths(manifest, findings);
  checkLists(manifest, findings);
  checkSplits(manifest, findings);
  checkNeighbours(manifest, findings);
  checkTableEntries(manifest, findings);
  const unreadable = findings
    .all()
    .slice(before)
    .some(({ requirement }) => /^(MAN|PRT|GEN|LAB|CEL|CNT|ZAR-13|VER-10)/.test(requirement));
  return unreadable ? undefined : manifest;
}

/**
 * Number of the statement that a violation of the schema breaks most plainly; all break [MAN-1] and [CNF-7].
 *
 * @param {string} where
 * @param {string} message
 */
function statementOf(where, message) {
  if (where.endsWith("/path")) return "ZAR-4";
  if (where.endsWith("/dtype") && message.includes("uint8")) return "ZAR-8";
  if (where === "/version") return "VER-1";
  return "MAN-1";
}

/**
 * A document without one of its members.
 *
 * @param {any} value
 * @param {string[]} path
 * @returns {any}
 */
function without(value, [name, ...rest]) {
  if (Array.isArray(value))
    return value.flatMap((item, i) => (String(i) !== name ? [item] : rest.length > 0 ? [without(item, rest)] : []));
  const kept = Object.entries(value).filter(([other]) => other !== name || rest.length > 0);
  return Object.fromEntries(kept.map(([other, member]) => [other, other === name ? without(member, rest) : member]));
}

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkFeatures(manifest, findings) {
  const { required_features: required, optional_features: optional } = manifest;
  for (const feature of required) {
    if (!FEATURES.includes(feature)) {
      findings.add("VER-10", `${AT}/required_features`, `${JSON.stringify(feature)} is not known here`);
    }
  }
  for (const feature of [...required, ...optional]) {
    if (!/^[a-z0-9-]+$/.test(feature))
      findings.add("VER-7", AT, `the feature ${JSON.stringify(feature)} is not lower-case letters, digits and -`);
  }
  if (new Set([...required, ...optional]).size !== required.length + optional.length) {
    findings.add("VER-7", AT, "a feature is named twice");
  }
  if (required.includes("parts") !== manifest.parts.length > 1) {
    findings.add(
      "PRT-4",
      `${AT}/required_features`,
      `${manifest.parts.length} parts, and the feature parts is ${required.includes("parts") ? "" : "not "}named`,
    );
  }
  if (optional.includes("tables") !== manifest.tables.length > 0) {
    findings.add(
      "TAB-13",
      `${AT}/optional_features`,
      `${manifest.tables.length} tables, and the feature tables is ${optional.includes("tables") ? "" : "not "}listed`,
    );
  }
}

const PATH = new RegExp(schemas.manifest.$defs.Array.properties.path.pattern, "u");

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkPaths(manifest, findings) {
  const paths = Array.from(arraysOf(manifest), ({ entry }) => entry.path).sort();
  const known = new Set(paths);
  for (const path of Object.keys(manifest.groups)) {
    if (!PATH.test(path)) findings.add("ZAR-4", `${AT}/groups`, `${JSON.stringify(path)} is no path`);
  }
  paths.forEach((path, i) => {
    if (path === paths[i + 1]) findings.add("ZAR-3", path, "two arrays have this path");
    for (const above of prefixesOf(path))
      if (known.has(above)) findings.add("ZAR-3", path, `lies below the array ${above}`);
  });
}

/**
 * Proper beginnings of a path: the groups above an array.
 *
 * @param {string} path
 */
export function prefixesOf(path) {
  const segments = path.split("/");
  return segments.slice(1).map((_, i) => segments.slice(0, i + 1).join("/"));
}

/** numpy's names of the types of each kind. */
const DTYPES = /** @type {Record<string, RegExp>} */ ({
  integer: /^u?int(8|16|32|64)$/,
  float: /^float(16|32|64)$/,
  boolean: /^bool$/,
  string: /^string$/,
  categorical: /^(string|bool|u?int(8|16|32|64)|float(16|32|64))$/,
});

/** @param {readonly string[]} names */
const repeated = (names) => names.find((name, i) => names.indexOf(name) !== i);

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkLists(manifest, findings) {
  const { genes, labels, obs, parts } = manifest;
  const label = repeated(labels.map(({ name }) => name));
  if (label !== undefined) findings.add("LAB-1", `${AT}/labels`, `two labels are called ${JSON.stringify(label)}`);
  const column = repeated(obs.map(({ name }) => name));
  if (column !== undefined) findings.add("CEL-13", `${AT}/obs`, `two columns are called ${JSON.stringify(column)}`);
  const table = repeated(manifest.tables.map(({ name }) => name));
  if (table !== undefined) findings.add("TAB-6", `${AT}/tables`, `two tables are called ${JSON.stringify(table)}`);
  for (const [i, { kind, categories, label: of, name, dtype }] of obs.entries()) {
    if (!DTYPES[kind].test(dtype))
      findings.add("MAN-1", `${AT}/obs/${i}/dtype`, `${JSON.stringify(dtype)} holds no values of the kind ${kind}`);
    const both = Number(categories !== undefined) + Number(of !== undefined);
    if (both !== (kind === "categorical" ? 1 : 0)) {
      findings.add(
        "CEL-20",
        `${AT}/obs/${i}`,
        `${JSON.stringify(name)} is ${kind} and has ${both} of categories and label`,
      );
    }
    if (of !== undefined && !labels.some((other) => other.name === of)) {
      findings.add("CEL-20", `${AT}/obs/${i}/label`, `there is no label ${JSON.stringify(of)}`);
    }
  }
  if (genes.n >= 2 ** 31) findings.add("GEN-1", `${AT}/genes/n`, `${genes.n} is not below 2^31`);
  const taxa = genes.organisms.map(({ taxon }) => taxon);
  const total = genes.organisms.reduce((n, { n_genes: more }) => n + more, 0);
  if (taxa.some((taxon, i) => i > 0 && taxon <= taxa[i - 1]))
    findings.add("GEN-8", `${AT}/genes/organisms`, `the taxa ${taxa} do not ascend`);
  if (total !== genes.n) findings.add("GEN-8", `${AT}/genes/organisms`, `have ${total} genes, expected ${genes.n}`);
  for (const [i, { order, labels: places }] of parts.entries()) {
    const by = order.by ?? [];
    if (order.kind !== "stratified" && by.length > 0)
      findings.add("ORD-6", `${AT}/parts/${i}/order/by`, `is not empty, and the order is ${order.kind}`);
    for (const name of by) {
      if (!Object.hasOwn(places, name))
        findings.add("ORD-6", `${AT}/parts/${i}/order/by`, `the part has no codes for ${JSON.stringify(name)}`);
    }
  }
}

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkSplits(manifest, findings) {
  const { splits } = manifest;
  if (splits === undefined) return;
  const { names, counts, shares } = splits;
  if (repeated(names) !== undefined || names.length === 0 || names.includes(""))
    findings.add("SPL-2", `${AT}/splits/names`, `${JSON.stringify(names)}: expected distinct names`);
  if (counts.length !== names.length)
    findings.add("SPL-2", `${AT}/splits/counts`, `${counts.length} numbers for ${names.length} names`);
  if (shares === undefined) return;
  if (shares.length !== names.length)
    findings.add("SPL-2", `${AT}/splits/shares`, `${shares.length} numbers for ${names.length} names`);
  const total = shares.reduce((a, b) => a + b, 0);
  if (shares.some((share) => !(share > 0)) || Math.abs(total - 1) > 1e-9) {
    findings.add("SPL-6", `${AT}/splits/shares`, `${shares}: expected numbers above 0 that sum to 1`);
  }
}

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkTableEntries({ tables }, findings) {
  for (const [i, entry] of tables.entries()) {
    for (const { where, message } of violations(entry, schemas.table))
      findings.add("TAB-6", `${AT}/tables/${i}${where}`, message);
    const runs = Number(entry.run_start !== undefined) + Number(entry.run_length !== undefined);
    if (runs !== (entry.rows === undefined ? 2 : 0))
      findings.add("TAB-6", `${AT}/tables/${i}`, "expected either rows, or run_start and run_length");
  }
}

const NAME = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const LOWEST_FLOAT = -(2 ** 24 - 1) * 2 ** 104;

/**
 * @param {Manifest} manifest
 * @param {Findings} findings
 */
function checkNeighbours(manifest, findings) {
  const entries = manifest.neighbours;
  if (manifest.optional_features.includes("neighbours") !== (entries?.length ?? 0) > 0 || entries?.length === 0) {
    findings.add(
      "NBR-9",
      AT,
      `${entries?.length ?? "no"} neighbour tables, and the feature neighbours does not say so`,
    );
  }
  if (entries === undefined) return;
  if (repeated(entries.map(({ name }) => name)) !== undefined)
    findings.add("NBR-1", `${AT}/neighbours`, "two tables have one name");
  const ends = manifest.parts.map((part) => part.start + part.n_cells);
  for (const [i, entry] of entries.entries()) {
    const where = `${AT}/neighbours/${i}`;
    if (!NAME.test(entry.name) || entry.name.length > 64)
      findings.add("NBR-1", `${where}/name`, JSON.stringify(entry.name));
    if (!ends.includes(entry.n_rows)) findings.add("NBR-1", `${where}/n_rows`, `no part ends at row ${entry.n_rows}`);
    if ((entry.weights === undefined) !== (entry.weight === undefined))
      findings.add("NBR-2", where, "has one of weight and weights");
    const { rows, weights } = entry;
    if (rows.dtype !== (entry.n_rows < 2 ** 31 ? "int32" : "int64"))
      findings.add("NBR-2", `${where}/rows/dtype`, rows.dtype);
    for (const array of [rows, ...(weights ? [weights] : [])]) {
      if (array.chunk[0] !== entry.k || array.shard[0] !== entry.k)
        findings.add("NBR-2", `${where}: ${array.path}`, "chunks and shards do not hold all neighbours of a cell");
    }
    if (weights && weights.fill !== LOWEST_FLOAT)
      findings.add("NBR-3", `${where}/weights/fill`, `expected ${LOWEST_FLOAT}, found ${weights.fill}`);
    if (cellsDigest(manifest, entry.n_rows) !== entry.cells)
      findings.add("NBR-6", `${where}/cells`, "is not the digest of the store's cells");
  }
}
