#!/usr/bin/env node
// The commands of the conformance kit: validate, describe, read and draw, each with one JSON object on stdout.

import { parseArgs } from "node:util";

import { StoreError, draw, lineOf, openStore, placeOf } from "./src/node.js";
import { describe, readCells } from "./src/report.js";
import { validate } from "./src/validate/index.js";

/** @typedef {Record<string, string | boolean | undefined>} Options */

const USAGE = `usage: cli.mjs validate [--level 1|2|3|4] STORE
       cli.mjs describe STORE
       cli.mjs read STORE --rows 0,5,2
       cli.mjs draw STORE --plan independent|stratified|epoch [--table NAME] --seed N --start T --count N
                    [--window W --lanes V --block B] [--schedule POS:TEMP,...] [--rank R --world-size N]`;

const EXIT_CODES = /** @type {Record<string, number>} */ ({
  "unknown-version": 4,
  "unknown-feature": 4,
  "not-a-store": 3,
  unreachable: 3,
  unreadable: 3,
  "out-of-range": 2,
  "unknown-name": 2,
  usage: 2,
  "bad-window": 2,
  "bad-schedule": 2,
  "bad-rank": 2,
  "bad-position": 2,
});

/** @param {string} message */
const usage = (message) => new StoreError("usage", message);

/**
 * @param {Options} options
 * @param {string} name
 * @param {number} [fallback]
 */
function whole(options, name, fallback) {
  const given = options[name];
  if (given === undefined && fallback !== undefined) return fallback;
  if (typeof given !== "string" || !/^[0-9]+$/.test(given) || !Number.isSafeInteger(Number(given))) {
    throw usage(`--${name} takes a whole number, not ${JSON.stringify(given)}`);
  }
  return Number(given);
}

/**
 * @param {Options} options
 * @param {string} name
 */
function large(options, name) {
  const given = options[name] ?? "0";
  if (typeof given !== "string" || !/^[0-9]+$/.test(given) || BigInt(given) >= 2n ** 64n) {
    throw usage(`--${name} takes a whole number below 2^64, not ${JSON.stringify(given)}`);
  }
  return BigInt(given);
}

/** @param {string | boolean | undefined} given */
function scheduleOf(given) {
  if (typeof given !== "string") return undefined;
  return given.split(",").map((piece) => {
    const match = /^([0-9]+):([0-9.eE+-]+)$/.exec(piece);
    if (!match || !(Number(match[2]) > 0))
      throw usage(`--schedule takes POSITION:TEMPERATURE pairs, not ${JSON.stringify(piece)}`);
    return { position: BigInt(match[1]), temperature: Number(match[2]) };
  });
}

/** @type {Record<string, (place: import("./src/places/place.js").Place, options: Options) => Promise<[object, number?]>>} */
const VERBS = {
  async validate(place, options) {
    const level = whole(options, "level", 3);
    if (level < 1 || level > 4) throw usage(`--level is 1, 2, 3 or 4, not ${level}`);
    const found = await validate(place, level);
    return [found, found.valid ? 0 : 1];
  },
  async describe(place) {
    return [await describe(await openStore(place))];
  },
  async read(place, options) {
    const { rows } = options;
    if (typeof rows !== "string" || !/^(-?[0-9]+(,-?[0-9]+)*)?$/.test(rows))
      throw usage(`--rows takes numbers with commas between them, not ${JSON.stringify(rows)}`);
    return [await readCells(await openStore(place), rows === "" ? [] : rows.split(",").map(Number))];
  },
  async draw(place, options) {
    const { table, plan } = options;
    if (typeof plan !== "string") throw usage("--plan is independent, stratified or epoch");
    const rows = await draw(await openStore(place), {
      ...(typeof table === "string" && { table }),
      plan,
      seed: large(options, "seed"),
      start: large(options, "start"),
      count: whole(options, "count"),
      window: whole(options, "window", 0),
      lanes: whole(options, "lanes", 0),
      block: whole(options, "block", 0),
      schedule: scheduleOf(options.schedule),
      rank: whole(options, "rank", 0),
      ranks: whole(options, "world-size", 1),
    });
    return [{ rows }];
  },
};

const OPTIONS = /** @type {Record<string, Record<string, {type: "string" | "boolean"}>>} */ ({
  validate: { level: { type: "string" } },
  describe: {},
  read: { rows: { type: "string" } },
  draw: Object.fromEntries(
    ["table", "plan", "seed", "start", "count", "window", "lanes", "block", "schedule", "rank", "world-size"].map(
      (name) => [name, { type: "string" }],
    ),
  ),
});

/**
 * @param {string[]} given
 * @returns {Promise<number>} the exit code
 */
async function main([verb, ...rest]) {
  if (verb === "--help" || verb === "-h") {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (verb === undefined || !Object.hasOwn(VERBS, verb))
    throw usage(`expected ${Object.keys(VERBS).join(", ")}, not ${JSON.stringify(verb ?? "")}; --help says more`);
  let parsed;
  try {
    parsed = parseArgs({
      args: rest,
      options: { json: { type: "boolean" }, ...OPTIONS[verb] },
      allowPositionals: true,
    });
  } catch (error) {
    throw usage(lineOf(error));
  }
  const [store, ...more] = parsed.positionals;
  if (store === undefined || more.length > 0) throw usage(`${verb} takes one store`);
  const [answer, code = 0] = await VERBS[verb](placeOf(store), /** @type {Options} */ (parsed.values));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  return code;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const code = error instanceof StoreError ? error.code : "internal";
  const message = error instanceof StoreError ? error.message : lineOf(error);
  process.stderr.write(`error: ${message} [${code}]\n`);
  process.exitCode = EXIT_CODES[code] ?? 1;
}
