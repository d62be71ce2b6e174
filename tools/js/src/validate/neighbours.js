/** Level 3 of neighbour tables. */

import { Sha256 } from "../sha256.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").NeighboursEntry} NeighboursEntry */
/** @typedef {import("./findings.js").Findings} Findings */

/**
 * @param {Store} store
 * @param {Findings} findings
 */
export async function checkNeighbourTables(store, findings) {
  for (const entry of store.manifest.neighbours ?? []) {
    const where = `neighbours ${JSON.stringify(entry.name)}`;
    await findings.guard(where, () => checkTable(store, entry, where, findings));
  }
}

/**
 * @param {Store} store
 * @param {NeighboursEntry} entry
 * @param {string} where
 * @param {Findings} findings
 */
async function checkTable(store, entry, where, findings) {
  const { k, n_rows: n } = entry;
  const [ofRows, ofWeights] = [new Sha256(), new Sha256()];
  const falls = entry.weight !== "distance";
  const block = entry.rows.chunk[1] * 16;
  let total = 0;
  for (let start = 0; start < n; start += block) {
    const stop = Math.min(start + block, n);
    const width = stop - start;
    const rows = Float64Array.from(
      await store.array(entry.rows).read([
        [0, k],
        [start, stop],
      ]),
      Number,
    );
    const weights =
      entry.weights &&
      /** @type {Float32Array} */ (
        await store.array(entry.weights).read([
          [0, k],
          [start, stop],
        ])
      );
    const lines = new BigInt64Array(k * width);
    const figures = new Float32Array(k * width);
    for (let i = 0; i < width; i++) {
      const own = Array.from({ length: k }, (_, j) => rows[j * width + i]);
      const row = start + i;
      const count = own.filter((other) => other !== -1).length;
      total += count;
      if (own.slice(0, count).includes(-1)) findings.add("NBR-4", where, `row ${row} has a neighbour after none`);
      if (own.some((other) => other < -1 || other >= n || other === row))
        findings.add("NBR-4", where, `row ${row} has the neighbours ${own}`);
      if (new Set(own.slice(0, count)).size !== count) findings.add("NBR-4", where, `row ${row} has a neighbour twice`);
      own.forEach((other, j) => {
        lines[i * k + j] = BigInt(other);
      });
      if (!weights) continue;
      own.forEach((other, j) => {
        const weight = weights[j * width + i];
        figures[i * k + j] = weight;
        const before = j > 0 ? weights[(j - 1) * width + i] : weight;
        const ordered = other === -1 || (falls ? weight <= before : weight >= before);
        if (!Number.isFinite(weight) || (other === -1 && weight !== 0) || !ordered)
          findings.add("NBR-5", where, `row ${row} has the weight ${weight} at ${j}`);
      });
    }
    ofRows.update(new Uint8Array(lines.buffer));
    ofWeights.update(new Uint8Array(figures.buffer));
  }
  if (total !== entry.n_neighbours)
    findings.add("NBR-4", where, `n_neighbours is ${entry.n_neighbours}, found ${total}`);
  const lines = [
    `scformat neighbours 1`,
    `cells ${entry.cells}`,
    `k ${k}`,
    `rows ${ofRows.hex()}`,
    ...(entry.weights ? [`weights ${ofWeights.hex()}`] : []),
  ];
  const found = new Sha256().update(lines.map((line) => `${line}\n`).join("")).hex();
  if (found !== entry.sha256) findings.add("NBR-8", where, `expected ${entry.sha256}, found ${found}`);
}
