/** Level 3 of counts: every entry of a part, what it sums to, and what records and sources say of that. */

import { FULL } from "../entries.js";
import { elementsOf } from "../zarr.js";
import { contentKeys } from "./genes.js";
import { Statistics } from "./statistics.js";

/** @typedef {import("../part.js").Part} Part */
/** @typedef {import("./cells.js").Cells} Cells */
/** @typedef {import("./sources.js").FoundSource} FoundSource */
/** @typedef {import("./findings.js").Findings} Findings */

const TOO_LARGE = -3;
const MASK = 2n ** 64n - 1n;
const FACTOR = 0xd6e8feb86659fd93n;

/**
 * @typedef {object} Known what other checks found
 * @property {Cells} cells
 * @property {FoundSource[] | undefined} sources
 * @property {{ids: string[], taxa: Int32Array} | undefined} genes
 * @property {string[]} digests of the shard files
 */

/**
 * @param {Part} part
 * @param {Known} known
 * @param {Findings} findings
 */
export async function checkCounts(part, known, findings) {
  const { path } = part.entry.entries;
  await checkShardDigests(part, known.digests, findings);
  const shardRows = await part.shardRows();
  const checker = new Checker(part, known, findings);
  for (let k = 0; k < shardRows.length - 1; k++) {
    await findings.guard(`${path}: shard ${k}`, () =>
      checkShard(part, k, [shardRows[k], shardRows[k + 1]], checker, findings),
    );
  }
  await checker.finish();
}

/**
 * @param {Part} part
 * @param {string[]} digests
 * @param {Findings} findings
 */
async function checkShardDigests(part, digests, findings) {
  const entry = part.entry.shard_digests;
  const stated = await findings.guard(entry.path, () => part.store.array(entry).all());
  if (stated === undefined) return;
  const texts = new TextDecoder("latin1").decode(stated);
  digests.forEach((digest, k) => {
    const text = texts.slice(64 * k, 64 * k + 64);
    if (text !== digest)
      findings.add("CNT-13", entry.path, `of shard ${k}: expected ${digest}, found ${JSON.stringify(text)}`);
  });
}

/**
 * Cells of a shard one after another, then its tail.
 *
 * @param {Part} part
 * @param {number} k
 * @param {[number, number]} cells
 * @param {Checker} checker
 * @param {Findings} findings
 */
async function checkShard(part, k, [first, last], checker, findings) {
  const entry = part.entry.entries;
  const [, extent] = entry.chunk;
  const [, perShard] = entry.shard;
  const { rowEnd } = checker.cells;
  const end = rowEnd[last - 1];
  const base = k * perShard;
  const block = elementsOf("uint16", 0);
  let [data, from, width] = [block, 0, 0];
  /** @type {(start: number, stop: number) => Promise<void>} */
  const hold = async (start, stop) => {
    if (start >= from && stop <= from + width) return;
    from = start;
    width = Math.min(end, Math.max(stop, start + 64 * extent)) - start;
    data = await part.entries.read(
      [
        [0, 2],
        [base + from, base + from + width],
      ],
      { letFill: true },
    );
  };
  for (let cell = first; cell < last; cell++) {
    const start = cell === first ? 0 : rowEnd[cell - 1];
    const stop = rowEnd[cell];
    await hold(start, stop);
    const at = start - from;
    const n = stop - start;
    checker.cell(cell, data.subarray(at, at + n), data.subarray(width + at, width + at + n));
  }
  await checkTail(part, k, end, findings);
}

/**
 * The tail of a shard: fill values up to the end of the last chunk that cells reach, and no chunks after that ([CNT-8]).
 *
 * @param {Part} part
 * @param {number} k
 * @param {number} end
 * @param {Findings} findings
 */
async function checkTail(part, k, end, findings) {
  const entry = part.entry.entries;
  const [, extent] = entry.chunk;
  const [, perShard] = entry.shard;
  const reached = Math.ceil(end / extent);
  if (reached * extent > end) {
    const data = await part.entries.chunk([0, (k * perShard) / extent + reached - 1]);
    const tail = end - (reached - 1) * extent;
    const right = [data.subarray(tail, extent), data.subarray(extent + tail)].every((some) =>
      some.every((/** @type {number | bigint} */ x) => x === FULL),
    );
    if (!right) findings.add("CNT-8", entry.path, `the tail of shard ${k} holds something else than the fill value`);
  }
  const index = await part.store.place.getRange(`/${entry.path}/c/0/${k}`, {
    suffixLength: 16 * (perShard / extent) + 4,
  });
  if (index === undefined) return;
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  for (let i = 0; i < perShard / extent; i++) {
    const absent = view.getBigUint64(16 * i, true) === MASK && view.getBigUint64(16 * i + 8, true) === MASK;
    if (absent && i < reached)
      findings.add("ZAR-16", entry.path, `chunk ${i} of shard ${k} is absent, and cells have entries in it`);
    if (!absent && i >= reached)
      findings.add("CNT-8", entry.path, `chunk ${i} of shard ${k} is there, and no cell has entries in it`);
  }
}

/** Checks of cells, one after another. */
class Checker {
  #part;
  #known;
  #findings;
  #keys;
  #statistics;
  #where;

  /**
   * @param {Part} part
   * @param {Known} known
   * @param {Findings} findings
   */
  constructor(part, known, findings) {
    this.#part = part;
    this.#known = known;
    this.#findings = findings;
    this.#keys = known.genes && contentKeys(known.genes.ids, known.genes.taxa);
    this.#statistics = known.sources && new Statistics(part, findings);
    this.#where = part.entry.entries.path;
    this.cells = known.cells;
  }

  /**
   * @param {number} cell
   * @param {Uint16Array} deltas
   * @param {Uint16Array} counts
   */
  cell(cell, deltas, counts) {
    const source = this.cells.source[cell];
    const found = this.#known.sources?.[source];
    const row = this.#part.start + cell;
    const say = (/** @type {string} */ requirement, /** @type {string} */ what) =>
      this.#findings.add(requirement, this.#where, `row ${row}: ${what}`);
    let [gene, value, total, distinct, canonical] = [0, 0, 0, 0, true];
    const sums = [0, 0, 0, 0];
    let large = 0n;
    let open = false; // a gap that no count has followed yet
    const close = () => {
      if (value === 0) return;
      total += value;
      distinct++;
      if (value >= 2 ** 53) say("CNT-5", `the value ${value} of gene ${gene}`);
      if (found && found.measured[gene] !== 1)
        say("SRC-7", `a count for gene ${gene}, which its source did not measure`);
      this.#statistics?.add(source, gene, value);
      if (!this.#keys) return;
      const at = 4 * gene;
      if (value < 2 ** 16) for (let i = 0; i < 4; i++) sums[i] += value * this.#keys[at + i];
      else
        large +=
          BigInt(value) *
          (BigInt(this.#keys[at]) |
            (BigInt(this.#keys[at + 1]) << 16n) |
            (BigInt(this.#keys[at + 2]) << 32n) |
            (BigInt(this.#keys[at + 3]) << 48n));
    };
    for (let i = 0; i < deltas.length; i++) {
      const [delta, count] = [deltas[i], counts[i]];
      if (delta === FULL && count === FULL) return say("ZAR-18", "the fill value among its entries");
      if ((delta === FULL) !== (count === 0)) return say("CNT-4", `the entry (${delta}, ${count})`);
      if (delta !== 0) {
        close();
        value = 0;
      } else if (value !== 0) {
        canonical &&= counts[i - 1] === FULL; // a value goes on only where the entry before is full
      } else {
        canonical &&= i === 0 || open;
      }
      gene += delta;
      if (gene >= this.#part.nGenes) return say("CNT-5", `reaches gene ${gene} of ${this.#part.nGenes}`);
      value += count;
      open = count === 0;
      if (open) canonical &&= true;
    }
    close();
    if (!canonical || open) say("CNT-3", "its entries are not the canonical form");
    this.#figures(cell, total, distinct, say);
    if (this.#keys && found) this.#content(cell, sums, large, found, say);
  }

  /**
   * @param {number} cell
   * @param {number} total
   * @param {number} distinct
   * @param {(requirement: string, what: string) => void} say
   */
  #figures(cell, total, distinct, say) {
    const record = this.#known.sources?.[this.cells.source[cell]]?.record;
    if (record === undefined) return;
    // what was left out or merged is not in the entries
    const figures = /** @type {const} */ ([
      ["total_counts", this.cells.totalCounts[cell], total, record.n_left_out === 0],
      ["n_genes", this.cells.nGenes[cell], distinct, record.n_left_out === 0 && record.n_merged === 0],
    ]);
    for (const [name, stated, sum, exact] of figures) {
      if (stated === TOO_LARGE ? exact && sum < 2 ** 31 : exact ? stated !== sum : stated < sum) {
        say("CEL-7", `${name} is ${stated}, its entries give ${sum}`);
      }
    }
  }

  /**
   * @param {number} cell
   * @param {number[]} sums
   * @param {bigint} large
   * @param {FoundSource} source
   * @param {(requirement: string, what: string) => void} say
   */
  #content(cell, sums, large, source, say) {
    if (source.record.n_left_out > 0) {
      this.#findings.leave(
        "CEL-10",
        `columns of ${source.record.name} were left out: their counts are not in the store`,
      );
      return;
    }
    let h = sums.reduceRight((found, sum) => (found << 16n) + BigInt(sum), 0n) + large;
    h &= MASK;
    h ^= h >> 32n;
    h = (h * FACTOR) & MASK;
    const stated = this.cells.content[cell];
    if (h >> 1n !== stated) say("CEL-10", `content is ${stated}, expected ${h >> 1n}`);
  }

  async finish() {
    await this.#statistics?.compare(this.#known.sources ?? []);
  }
}
