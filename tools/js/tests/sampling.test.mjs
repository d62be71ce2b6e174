// Draws against fixed numbers: the published vectors of Philox, and tests/sampling/vectors.json, which the specification names.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { Epoch } from "../src/sampling/epoch.js";
import { parts, power, quotient, rounded, sum } from "../src/sampling/exact.js";
import { independent } from "../src/sampling/independent.js";
import { aliasOf, atTemperature, bitsOf, massesOf } from "../src/sampling/masses.js";
import { permutation } from "../src/sampling/permutation.js";
import { Philox, seedOf } from "../src/sampling/philox.js";
import { Quotas, Stratified } from "../src/sampling/stratified.js";
import { StratumCells, slotsOf, windowOptions } from "../src/sampling/window.js";

// integers beyond 2^53 as text
const text = await readFile(new URL("../../../tests/sampling/vectors.json", import.meta.url), "utf8");
const vectors = JSON.parse(text.replace(/(?<=[[ :,])([0-9]{16,})(?=[\],}\n])/g, '"$1"'));

describe("philox", () => {
  /** Random123's kat_vectors: counter, key, words. */
  const KNOWN = /** @type {[[number, number, number, number], string, number[]][]} */ ([
    [[0, 0, 0, 0], "0x0", [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      "0xffffffffffffffff",
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      "0x299f31d0a4093822",
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ]);

  for (const [counter, key, words] of KNOWN) {
    test(`counter ${counter[0].toString(16)}`, () => {
      assert.deepEqual([...new Philox(key).block(...counter)], words);
    });
  }

  test("the worked example of the chapter on order", () => {
    const philox = new Philox(0);
    const keys = [0n, 1n, 2n].map((row) => philox.u64(9, row, 2489831233));
    assert.deepEqual(keys, [14372779307438205653n, 10631582056385581277n, 17370658766258644753n]);
  });

  test("the worked example of the chapter on splits", () => {
    const philox = new Philox(0);
    const keys = [2786364757674136608n, 12264781849953275513n, 5850057991450825273n];
    const expected = [2049610250160395746n, 16617316724178648358n, 14047759283784628622n];
    assert.deepEqual(
      keys.map((key) => philox.u64(10, key, 0)),
      expected,
    );
  });

  test("a number and a BigInt name the same counter", () => {
    const philox = new Philox(5);
    for (const i of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      assert.deepEqual([...philox.words(1, i, 7)], [...philox.wordsAt(1, BigInt(i), 7)]);
    }
  });

  test("seeds that are no 64-bit integers are refused", () => {
    for (const seed of [-1, 2n ** 64n, 2 ** 53, 0.5]) assert.throws(() => seedOf(seed), RangeError);
  });
});

describe("permutations", () => {
  for (const n of [1, 2, 3, 255, 256, 257, 258, 511, 513, 1000, 65536, 65537]) {
    test(`of ${n} reach each element once`, () => {
      const order = permutation(new Philox(11), n, 6, 3n, 1);
      const seen = new Uint8Array(n);
      for (let k = 0; k < n; k++) seen[order(k)]++;
      assert.ok(seen.every((times) => times === 1));
    });
  }

  test("differ between windows, lanes and seeds", () => {
    const first = (/** @type {[number, bigint, number]} */ ...[seed, i, j]) =>
      Array.from({ length: 20 }, (_, k) => permutation(new Philox(seed), 1000, 6, i, j)(k)).join();
    assert.equal(new Set([first(0, 0n, 0), first(1, 0n, 0), first(0, 1n, 0), first(0, 0n, 1)]).size, 4);
  });

  test("of more than 2^32 stay below n", () => {
    const n = 2 ** 40 + 12345;
    const order = permutation(new Philox(1), n, 3, 0n, 0);
    const some = Array.from({ length: 1000 }, (_, k) => order(n - 1 - k));
    assert.ok(some.every((value) => Number.isInteger(value) && value >= 0 && value < n));
    assert.equal(new Set(some).size, 1000);
  });
});

describe("exact arithmetic", () => {
  test("takes numbers apart and puts them together", () => {
    for (const value of [0, 5e-324, 2 ** -1022, 0.1, 1, 1 / 3, 2 ** 53 - 1, Number.MAX_VALUE]) {
      const [m, e] = parts(value);
      assert.equal(rounded(m, e, false), value);
    }
  });

  test("rounds ties to even", () => {
    assert.equal(rounded(2n ** 53n + 1n, 0, false), 2 ** 53);
    assert.equal(rounded(2n ** 53n + 1n, 0, true), 2 ** 53 + 2);
    assert.equal(rounded(2n ** 53n + 3n, 0, false), 2 ** 53 + 4);
  });

  test("sums do not depend on the order", () => {
    const values = [1e300, 1, 1e-300, 2 ** -60, 1e300, 3, 0];
    assert.equal(sum(values), sum(values.toReversed()));
    assert.equal(sum(new Array(10).fill(0.1)), 1);
    assert.equal(sum([1, 2 ** -53, 2 ** -53]), 1 + 2 ** -52);
    assert.equal(sum([]), 0);
  });

  test("quotients are those of binary64 where that is exact enough", () => {
    for (const [a, b] of [
      [1, 3],
      [2, 3],
      [7, 9],
      [1, 2 ** 52 + 1],
      [2 ** 53 - 1, 3],
      [1, 1],
    ]) {
      assert.equal(quotient(BigInt(a), BigInt(b)), a / b);
    }
    assert.equal(quotient(2n ** 62n - 1n, 2n ** 62n), 1);
  });

  test("powers are within one of Math.pow, and right where they are known", () => {
    assert.equal(power(0.25, 0.5), 0.5);
    assert.equal(power(2 ** -60, 0.5), 2 ** -30);
    assert.equal(power(0.1, 1), 0.1);
    assert.equal(power(1 / 3, 0.5), Math.sqrt(1 / 3));
    for (let i = 1; i < 400; i++) {
      assert.equal(power(i / 400, 0.5), Math.sqrt(i / 400), `${i} / 400`);
      for (const y of [0.1, 1 / 3, 0.8, 2, 2.5, 10]) {
        const [found, near] = [power(i / 400, y), (i / 400) ** y];
        assert.ok(Math.abs(found - near) <= near * 2 ** -51, `(${i} / 400)^${y}: ${found}, ${near}`);
      }
    }
    assert.equal(power(2 ** -60, 100), 0);
  });
});

describe("tables of the vectors", () => {
  for (const vector of vectors.tables) {
    const { weights, counts, seed, masses, threshold, alias, draws, quotas, window, stratified } = vector;
    const exact = masses.map(BigInt);
    const strata = { n: counts.length, bits: bitsOf(counts.length), counts, masses: exact, threshold, alias };
    const [size, lanes, block] = window;

    test(`${weights.length} strata, seed ${seed}`, () => {
      assert.deepEqual(massesOf(weights), exact);
      const made = aliasOf(exact);
      assert.deepEqual([...made.threshold], threshold.map(Number));
      assert.deepEqual([...made.alias], alias);
      const positions = draws.map((/** @type {number[]} */ [t]) => BigInt(t));
      const drawn = independent(strata, BigInt(seed), positions);
      assert.deepEqual(
        draws.map((/** @type {number[]} */ [t], /** @type {number} */ i) => [t, drawn.stratum[i], drawn.cell[i]]),
        draws,
      );
      const before = new Quotas(new Philox(BigInt(seed)), exact, strata.bits);
      for (const [t, expected] of quotas) assert.deepEqual(before.before(BigInt(t)), expected.map(BigInt));
      const plan = new Stratified(strata, BigInt(seed), { window: size, lanes, block });
      for (const [w, expected] of stratified) {
        const found = plan.draw(Array.from({ length: size }, (_, u) => BigInt(w) * BigInt(size) + BigInt(u)));
        assert.deepEqual(
          expected.map((/** @type {any} */ _, /** @type {number} */ u) => [found.stratum[u], found.cell[u]]),
          expected,
        );
      }
    });
  }
});

test("cells of the vectors", () => {
  for (const [seed, stratum, n, block, p, expected] of vectors.cells) {
    new StratumCells(new Philox(seed), stratum, n, block).run(BigInt(p), 1, (_, cell) => assert.equal(cell, expected));
  }
});

test("epochs of the vectors", () => {
  for (const [seed, n, [window, lanes, block], windows] of vectors.epochs) {
    const plan = new Epoch(n, seed, { window, lanes, block });
    const perEpoch = Math.ceil(n / window);
    for (const [w, expected] of windows) {
      const start = Math.floor(w / perEpoch) * n + (w % perEpoch) * window;
      const found = plan.draw(expected.map((/** @type {any} */ _, /** @type {number} */ u) => BigInt(start + u)));
      assert.deepEqual([...found], expected);
    }
  }
});

describe("plans", () => {
  test("an epoch has every cell once, also where no block fits", () => {
    for (const [n, window, lanes, block] of [
      [1, 8, 2, 4],
      [7, 8, 2, 4],
      [1000, 256, 2, 64],
      [513, 512, 8, 64],
    ]) {
      const plan = new Epoch(n, 3, { window, lanes, block });
      for (const epoch of [0, 5]) {
        const found = plan.draw(Array.from({ length: n }, (_, u) => BigInt(epoch * n + u)));
        assert.deepEqual(
          [...found].sort((a, b) => a - b),
          Array.from({ length: n }, (_, k) => k),
        );
      }
    }
  });

  test("a finite pass repeats the last position as padding", () => {
    const { positions, padding } = new Epoch(10, 0, { window: 8, lanes: 1, block: 8 }).step({
      epoch: 2n,
      rank: 1,
      ranks: 2,
      batch: 3,
      step: 1,
    });
    assert.deepEqual(positions, [27n, 29n, 29n]);
    assert.deepEqual(padding, [false, false, true]);
  });

  test("slots of a window are each taken once", () => {
    for (const length of [1, 63, 64, 100, 512]) {
      const slots = slotsOf(new Philox(2), 4n, length, { window: 512, lanes: 4, block: 16 });
      assert.deepEqual(
        [...slots].sort((a, b) => a - b),
        Array.from({ length }, (_, k) => k),
      );
    }
  });

  test("a window that blocks and lanes do not divide is refused", () => {
    assert.throws(() => windowOptions({ window: 100, lanes: 3, block: 8 }), /SAM-20/);
  });

  test("temperature 1 is the same table, others keep the order and flatten", () => {
    const masses = massesOf([8, 4, 2, 1, 0]);
    assert.deepEqual(atTemperature(masses, 1), masses);
    const warm = atTemperature(masses, 2);
    assert.equal(
      warm.reduce((a, b) => a + b),
      2n ** 35n,
    );
    assert.equal(warm[4], 0n);
    assert.ok(warm[0] < masses[0] && warm[3] > masses[3]);
    assert.ok(Math.abs(Number(warm[0]) / Number(warm[2]) - 2) < 1e-9);
  });
});
