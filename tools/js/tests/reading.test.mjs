// Pieces of the reader: bytes, JSON, entries, fill values, places. The worked examples are those of the specification.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { decode } from "../src/blosc.js";
import { crc32c } from "../src/crc32c.js";
import { decodeCell } from "../src/entries.js";
import { StoreError, unknownName } from "../src/errors.js";
import { parse, parseWithProblems } from "../src/json.js";
import { DirectoryPlace } from "../src/places/directory.js";
import { HttpPlace } from "../src/places/http.js";
import { violations } from "../src/schema.js";
import * as schemas from "../src/schemas.js";
import { Sha256, sha256 } from "../src/sha256.js";
import { compareBytes } from "../src/strings.js";
import { keyOfGroup, thresholds } from "../src/validate/cells.js";
import { contentKeys } from "../src/validate/genes.js";
import { ChunkCache, difference, elementsOf } from "../src/zarr.js";

const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);
const refused = (/** @type {string} */ requirement) => (/** @type {unknown} */ error) =>
  error instanceof StoreError && error.requirement === requirement && !error.message.includes("\n");

describe("checksums and digests", () => {
  test("CRC-32C", () => {
    assert.equal(crc32c(utf8("123456789")), 0xe3069283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
    assert.equal(crc32c(new Uint8Array(0)), 0);
  });

  test("SHA-256, whole and in pieces", () => {
    assert.equal(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert.equal(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 255);
    for (const size of [1, 55, 56, 63, 64, 65, 200]) {
      const digest = new Sha256();
      for (let at = 0; at < bytes.length; at += size) digest.update(bytes.subarray(at, at + size));
      assert.equal(digest.hex(), sha256(bytes));
    }
  });

  test("the digest of an array of two files, of the chapter on integrity", () => {
    const lines = [
      "ff0eb80cc1a6b8e4c4a7ff2a98f1c1f2f6a1a5a84a3a4d3b0a6d0f6a4ecb4f10  zarr.json\n",
      "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  c/0\n",
      "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6  c/1\n",
    ];
    assert.equal(sha256(lines.join("")), "4b1412452ef3b0292dceab66ac55518cb79f57bfe3c4df346ac74946ae9f25e6");
  });
});

describe("blosc frames that python's numcodecs wrote", async () => {
  const frames = JSON.parse(await readFile(new URL("frames.json", import.meta.url), "utf8"));
  for (const { name, dtype, n, element, frame } of frames) {
    const bytes = new Uint8Array(Buffer.from(frame, "base64"));
    const expected = elementsOf(dtype, n);
    const of = new Function("i", `return ${element}`);
    for (let i = 0; i < n; i++) expected[i] = of(i);
    const size = expected.BYTES_PER_ELEMENT;

    test(name, () => {
      assert.deepEqual(decode(bytes, size), new Uint8Array(expected.buffer));
    });

    test(`${name}: cut short, or of another header`, () => {
      for (let length = 0; length < Math.min(bytes.length, 300); length++) {
        assert.throws(() => decode(bytes.subarray(0, length), size), /blosc/);
      }
      for (const [at, value] of [
        [0, 1],
        [2, 0x21],
        [2, 0x64],
        [3, size + 1],
        [4, 255],
        [12, 1],
      ]) {
        const other = bytes.slice();
        other[at] = value;
        assert.throws(() => decode(other, size), /blosc/, `byte ${at}`);
      }
    });
  }

  test("garbage never reads beyond its ends", () => {
    const bytes = new Uint8Array(Buffer.from(frames[2].frame, "base64"));
    let broken = 0;
    for (let at = 20; at < bytes.length; at++) {
      const other = bytes.slice();
      other[at] ^= 0xa5;
      try {
        assert.equal(decode(other, 2).length, 4096);
      } catch (error) {
        assert.match(String(error), /blosc/);
        broken++;
      }
    }
    assert.ok(broken > 50);
  });
});

describe("JSON", () => {
  const good = [
    '{"a":[1,-2.5e3,true,false,null,"\\u00e9\\ud83e\\uddec\\n/"],"b":{}}',
    " [ ] ",
    '"x"',
    "0",
    "-0",
    "1e2",
    '{"__proto__":1}',
  ];
  for (const text of good) {
    test(`as JSON.parse: ${text}`, () => assert.deepEqual(parse(utf8(text), "here"), JSON.parse(text)));
  }

  for (const text of [
    "",
    "{",
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    "01",
    "1.",
    ".5",
    "+1",
    "NaN",
    "Infinity",
    '"\n"',
    '"\\x"',
    "[1] 2",
    "tru",
    "1e",
    "\u00a01",
  ]) {
    test(`no JSON: ${JSON.stringify(text)}`, () => assert.throws(() => parse(utf8(text), "here"), refused("CNV-1")));
  }

  test("a member twice, a byte order mark, numbers that binary64 does not hold, bytes that are no UTF-8", () => {
    assert.throws(() => parse(utf8('{"a":{"b":1,"\\u0062":2}}'), "here"), refused("CNV-1"));
    assert.throws(() => parse(utf8("\ufeff{}"), "here"), refused("CNV-1"));
    assert.throws(() => parse(Uint8Array.of(0x22, 0xff, 0x22), "here"), refused("CNV-1"));
    assert.throws(() => parse(utf8("[9007199254740993]"), "here"), refused("CNV-2"));
    assert.throws(() => parse(utf8("[1e999]"), "here"), refused("CNV-2"));
    assert.equal(parse(utf8("-9223372036854771712"), "here"), -9223372036854771712);
    assert.deepEqual(parseWithProblems(utf8('{"a":[0,{"fill":9007199254740993}]}')).problems[0].where, "a/1/fill");
    assert.throws(() => parse(utf8("[".repeat(300)), "here"), refused("CNV-1"));
  });
});

describe("schemas", () => {
  test("say what is wrong, and where", () => {
    assert.deepEqual(violations({ name: "x" }, { type: "object", required: ["name", "n"] }), [
      { where: "", message: 'expected the members n, found {"name":"x"}' },
    ]);
    const [violation] = violations(
      { path: "../x" },
      schemas.manifest.$defs.Array.properties && { ...schemas.manifest.$defs.Array, required: [] },
    );
    assert.equal(violation.where, "/path");
    assert.throws(() => violations(1, { multipleOf: 2 }), /not known/);
  });
});

describe("entries", () => {
  const deltas = Uint16Array.of(3, 65535, 5, 0, 0, 1, 6, 65535, 65535, 3);
  const counts = Uint16Array.of(2, 0, 65535, 4465, 1, 5, 300, 0, 0, 2);

  test("the worked example of the chapter on counts", () => {
    const bytes = new Uint8Array(deltas.buffer);
    assert.equal(Buffer.from(bytes).toString("hex"), "0300ffff05000000000001000600ffffffff0300");
    const [first, none, last] = [
      [0, 4],
      [4, 4],
      [4, 10],
    ].map(([a, b]) => decodeCell(deltas.subarray(a, b), counts.subarray(a, b), 131081, "row"));
    assert.deepEqual(
      [[...first.genes], [...first.counts]],
      [
        [3, 65543],
        [2, 70000],
      ],
    );
    assert.deepEqual([[...none.genes], [...none.counts]], [[], []]);
    assert.deepEqual(
      [[...last.genes], [...last.counts]],
      [
        [0, 1, 7, 131080],
        [1, 5, 300, 2],
      ],
    );
  });

  const cell = (/** @type {number[]} */ d, /** @type {number[]} */ c, n = 100) =>
    decodeCell(Uint16Array.from(d), Uint16Array.from(c), n, "row 7");

  test("entries of one gene are summed, canonical or not", () => {
    const found = cell([4, 0, 0, 1], [1, 2, 3, 4]);
    assert.deepEqual(
      [[...found.genes], [...found.counts]],
      [
        [4, 5],
        [6, 4],
      ],
    );
  });

  test("refuses fill values, counts without a gene, genes without a count, genes that are none", () => {
    assert.throws(() => cell([1, 65535], [1, 65535]), refused("CNT-6"));
    assert.throws(() => cell([1], [0]), refused("CNT-4"));
    assert.throws(() => cell([65535], [3], 1e6), refused("CNT-4"));
    assert.throws(() => cell([60, 40], [1, 1]), refused("CNT-5"));
    assert.deepEqual([...cell([1], [65535]).counts], [65535]);
  });
});

describe("worked examples of other chapters", () => {
  test("keys of genes", () => {
    const keys = contentKeys(["ENSG00000141510", "ENSG00000142611"], Int32Array.of(9606, 9606));
    const key = (/** @type {number} */ gene) =>
      keys.slice(4 * gene, 4 * gene + 4).reduceRight((sum, word) => (sum << 16n) | BigInt(word), 0n);
    assert.deepEqual([key(0), key(1)], [0x34fd2b7b84ac549cn, 0x6147e89dfb0a8b2an]);
  });

  test("thresholds and keys of splits", () => {
    assert.deepEqual(thresholds([0.8, 0.1, 0.1]), [
      14757395258967641292n,
      16602069666338596454n,
      18446744073709551616n,
    ]);
    assert.deepEqual(
      [keyOfGroup(["study-1", "donor-1"]), keyOfGroup(["study-1", null]), keyOfGroup(["study-2", ""])],
      [2786364757674136608n, 12264781849953275513n, 5850057991450825273n],
    );
  });

  test("text sorts by its bytes", () => {
    const texts = ["\u{1f9ec}", "\uffee", "é", "z", "", "Z", "zz"];
    assert.deepEqual(
      texts.toSorted(compareBytes),
      texts.toSorted((a, b) => Buffer.compare(utf8(a), utf8(b))),
    );
  });
});

test("near names", () => {
  assert.match(unknownName("table", "ballanced", ["balanced", "nodes"]).message, /did you mean balanced\?/);
  assert.match(unknownName("table", "xyz", []).message, /there is none/);
});

test("differences of JSON values name the place", () => {
  assert.equal(difference({ a: [1, 2] }, { a: [1, 2] }), undefined);
  assert.equal(difference({ a: [1, 3] }, { a: [1, 2] }), "/a/1: expected 2, found 3");
  assert.equal(difference({ a: 1, b: 2 }, { a: 1 }), "/b: expected no such member, found 2");
});

test("the cache keeps what was used last", () => {
  const cache = new ChunkCache(20);
  for (const key of ["a", "b"]) cache.set(key, new Uint8Array(10));
  cache.get("a");
  cache.set("c", new Uint8Array(10));
  assert.deepEqual([cache.get("a")?.length, cache.get("b"), cache.get("c")?.length], [10, undefined, 10]);
});

describe("places", () => {
  /** @type {string} */
  let directory;
  /** @type {import("node:http").Server} */
  let server;
  /** @type {HttpPlace} */
  let ranged;
  /** @type {HttpPlace} */
  let plain;
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "places-"));
    await mkdir(join(directory, "a", "c"), { recursive: true });
    await writeFile(join(directory, "a", "c", "0"), bytes);
    await cp(join(directory, "a"), join(directory, "b"), { recursive: true });
    server = createServer(async (request, response) => {
      const [, kind, ...path] = (request.url ?? "").split("/");
      const found = await readFile(join(directory, ...path)).catch(() => undefined);
      if (kind === "broken") return response.writeHead(500).end();
      if (found === undefined) return response.writeHead(404).end("no such file");
      const range = kind === "ranged" ? /bytes=(\d*)-(\d*)/.exec(request.headers.range ?? "") : null;
      if (!range) return response.end(found);
      const start = range[1] === "" ? found.length - Number(range[2]) : Number(range[1]);
      return response.writeHead(206).end(found.subarray(start, range[1] === "" ? undefined : Number(range[2]) + 1));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const address = /** @type {import("node:net").AddressInfo} */ (server.address());
    ranged = new HttpPlace(`http://127.0.0.1:${address.port}/ranged/`);
    plain = new HttpPlace(`http://127.0.0.1:${address.port}/plain/zarr.json`);
  });

  after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true });
  });

  test("give files, ranges and sizes alike, and nothing where there is no file", async () => {
    for (const place of [new DirectoryPlace(directory), ranged, plain]) {
      assert.deepEqual(await place.get("/a/c/0"), bytes);
      assert.deepEqual(await place.getRange("/a/c/0", { offset: 3, length: 4 }), bytes.slice(3, 7));
      assert.deepEqual(await place.getRange("/b/c/0", { suffixLength: 5 }), bytes.slice(251));
      assert.deepEqual(await place.getRange("/b/c/0", { offset: 250, length: 100 }), bytes.slice(250));
      assert.equal(await place.size("/a/c/0"), 256);
      for (const nothing of [
        place.get("/zarr.json"),
        place.getRange("/a/c/1", { suffixLength: 1 }),
        place.size("/x/y"),
      ]) {
        assert.equal(await nothing, undefined);
      }
    }
  });

  test("say so where a server fails or is not there", async () => {
    const address = /** @type {import("node:net").AddressInfo} */ (server.address());
    await assert.rejects(new HttpPlace(`http://127.0.0.1:${address.port}/broken`).get("/zarr.json"), {
      code: "unreachable",
    });
    await assert.rejects(new HttpPlace("http://127.0.0.1:1/x").get("/zarr.json"), { code: "unreachable" });
  });
});
