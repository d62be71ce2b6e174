/** Level 3 of obs columns and barcodes. */

import { checkStrings, eachString } from "./strings.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../part.js").Part} Part */
/** @typedef {import("./findings.js").Findings} Findings */

const AT_ONCE = 2 ** 20;

/**
 * @param {Store} store
 * @param {Findings} findings
 */
export async function checkColumns(store, findings) {
  for (const { categories, name } of store.manifest.obs) {
    const found = categories && (await checkStrings(store.strings(categories), findings));
    if (found && new Set(found).size !== found.length)
      findings.add("CEL-19", `obs ${JSON.stringify(name)}`, "a category stands twice");
  }
  for (const part of store.parts) {
    await eachString(part.barcode, findings);
    for (const column of store.manifest.obs) {
      if (Object.hasOwn(part.entry.obs, column.name)) await checkColumn(store, part, column, findings);
    }
  }
}

/**
 * @param {Store} store
 * @param {Part} part
 * @param {import("../types.js").ObsColumn} column
 * @param {Findings} findings
 */
async function checkColumn(store, part, column, findings) {
  const { values, strings, codes, missing } = part.entry.obs[column.name];
  const where = `obs ${JSON.stringify(column.name)} of the part at row ${part.start}`;
  const masked = missing && (await findings.guard(where, () => flags(store, missing, part.nCells, where, findings)));
  if (missing && masked === undefined) return;
  if (strings) {
    await eachString(store.strings(strings), findings, (text, i) => {
      if (masked?.[i] && text !== "")
        findings.add("CEL-16", where, `row ${part.start + i} is missing and holds ${JSON.stringify(text)}`);
    });
  }
  await findings.guard(where, async () => {
    if (values) {
      await blocks(store, values, part.nCells, (value, i) => {
        if (column.kind === "boolean" && value > 1)
          findings.add("CEL-18", where, `row ${part.start + i} holds ${value}, expected 0 or 1`);
        if (masked?.[i] && Number(value) !== 0)
          findings.add("CEL-16", where, `row ${part.start + i} is missing and holds ${value}`);
      });
    }
    if (codes && column.categories) {
      const n = store.strings(column.categories).length;
      await blocks(store, codes, part.nCells, (code, i) => {
        if (code < -1 || code >= n)
          findings.add("CEL-19", where, `row ${part.start + i} has the code ${code}, expected -1 to ${n - 1}`);
      });
    }
  });
}

/**
 * @param {Store} store
 * @param {import("../types.js").ArrayEntry} entry
 * @param {number} n
 * @param {(value: any, i: number) => void} look
 */
export async function blocks(store, entry, n, look) {
  for (let start = 0; start < n; start += AT_ONCE) {
    const data = await store.array(entry).slice(start, Math.min(start + AT_ONCE, n));
    for (let i = 0; i < data.length; i++) look(data[i], start + i);
  }
}

/**
 * @param {Store} store
 * @param {import("../types.js").ArrayEntry} entry
 * @param {number} n
 * @param {string} where
 * @param {Findings} findings
 */
async function flags(store, entry, n, where, findings) {
  const found = new Uint8Array(n);
  await blocks(store, entry, n, (flag, i) => {
    if (flag > 1) findings.add("CEL-16", where, `missing holds ${flag}, expected 0 or 1`);
    found[i] = flag;
  });
  return found;
}
