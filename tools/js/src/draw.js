/** Rows drawn from a store: a table, a plan and a seed ([SAM-10] to [SAM-41]). */

import { StoreError } from "./errors.js";
import { Epoch } from "./sampling/epoch.js";
import { independent } from "./sampling/independent.js";
import { Stratified } from "./sampling/stratified.js";
import { windowOptions } from "./sampling/window.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./table.js").Table} Table */

export const PLANS = /** @type {const} */ (["independent", "stratified", "epoch"]);

/**
 * @typedef {object} Draw
 * @property {string} [table] may be left out of an epoch: all cells
 * @property {string} plan
 * @property {number | bigint | string} seed
 * @property {number | bigint | string} start first position
 * @property {number} count positions, over all ranks
 * @property {number} [window]
 * @property {number} [lanes]
 * @property {number} [block]
 * @property {{position: bigint, temperature: number}[]} [schedule]
 * @property {number} [rank]
 * @property {number} [ranks]
 */

const LAST = 2n ** 61n;

/**
 * Rows at positions of a stream, those of a rank ([SAM-26]).
 *
 * @param {Store} store
 * @param {Draw} request
 * @returns {Promise<number[]>}
 */
export async function draw(store, request) {
  const { plan, table, seed, count, rank = 0, ranks = 1 } = request;
  const windows = windowOptions({
    ...(request.window && { window: request.window }),
    ...(request.lanes && { lanes: request.lanes }),
    ...(request.block && { block: request.block }),
  });
  const start = BigInt(request.start);
  if (start < 0n || !Number.isSafeInteger(count) || count < 0 || start + BigInt(count) > LAST) {
    throw new StoreError("bad-position", `positions ${start} and ${count} on: expected some from 0 to 2^61`);
  }
  if (!Number.isInteger(rank) || !Number.isInteger(ranks) || rank < 0 || rank >= ranks) {
    throw new StoreError("bad-rank", `rank ${rank} of ${ranks}`);
  }
  const positions = [];
  for (let t = start; t < start + BigInt(count); t++) if (t % BigInt(ranks) === BigInt(rank)) positions.push(t);
  if (plan === "epoch") {
    const other = request.schedule?.some(({ position, temperature }) => position !== 0n || temperature !== 1);
    if (other) throw new StoreError("bad-schedule", "an epoch has no schedule but 0:1 [SAM-40]");
    return epoch(store, table, seed, positions, windows);
  }
  if (plan !== "independent" && plan !== "stratified") {
    throw new StoreError("unknown-name", `no plan is called ${JSON.stringify(plan)}: there are ${PLANS.join(", ")}`);
  }
  if (table === undefined) throw new StoreError("usage", `the plan ${plan} needs a table`);
  const found = await store.table(table);
  const rows = /** @type {number[]} */ ([]);
  for (const { temperature, first, last } of pieces(request.schedule, windows.window)) {
    const some = positions.filter((t) => t >= first && (last === undefined || t < last));
    if (some.length === 0) continue;
    const strata = found.at(temperature);
    const drawn =
      plan === "independent" ? independent(strata, seed, some) : new Stratified(strata, seed, windows).draw(some);
    for (const row of await found.rows(drawn.stratum, drawn.cell)) rows.push(row);
  }
  return rows;
}

/**
 * @param {Store} store
 * @param {string | undefined} table
 * @param {Draw["seed"]} seed
 * @param {bigint[]} positions
 * @param {import("./sampling/window.js").WindowOptions} windows
 */
async function epoch(store, table, seed, positions, windows) {
  const rows = table === undefined ? undefined : await (await store.table(table)).allRows();
  const cells = new Epoch(rows?.length ?? store.nCells, seed, windows).draw(positions);
  return Array.from(cells, (cell) => (rows === undefined ? cell : rows[cell]));
}

/**
 * Pieces of a schedule ([SAM-40]).
 *
 * @param {Draw["schedule"]} schedule
 * @param {number} window
 */
function pieces(schedule = [{ position: 0n, temperature: 1 }], window) {
  return schedule.map(({ position, temperature }, i) => {
    const before = i === 0 ? undefined : schedule[i - 1].position;
    if (i === 0 ? position !== 0n : position <= /** @type {bigint} */ (before)) {
      throw new StoreError(
        "bad-schedule",
        `the schedule's positions are to rise from 0: ${position} is number ${i} [SAM-40]`,
      );
    }
    if (position % BigInt(window) !== 0n)
      throw new StoreError(
        "bad-schedule",
        `position ${position} of the schedule is no multiple of the window ${window} [SAM-40]`,
      );
    if (!(temperature > 0) || !Number.isFinite(temperature))
      throw new StoreError("bad-schedule", `the temperature ${temperature} is not above 0`);
    return { temperature, first: position, last: schedule[i + 1]?.position };
  });
}
