// node scripts/schemas.mjs [--check]: writes src/schemas.js from spec/schema, or says whether it differs.

import { readFile, writeFile } from "node:fs/promises";

const spec = new URL("../../../spec/schema/", import.meta.url);
const target = new URL("../src/schemas.js", import.meta.url);
const lines = [
  "// Made from spec/schema by scripts/schemas.mjs: browsers and bundlers need no file beside the code.",
  "",
];
for (const name of ["manifest", "source", "table"]) {
  const schema = JSON.parse(await readFile(new URL(`${name}.schema.json`, spec), "utf8"));
  lines.push(
    `/** @type {import("./schema.js").Schema} */`,
    `export const ${name} = ${JSON.stringify(bare(schema))};`,
    "",
  );
}
const text = lines.join("\n");

/**
 * Without what is for people alone.
 *
 * @param {any} value
 * @param {boolean} [names] whether its members are names that a schema gives, and no keywords
 * @returns {any}
 */
function bare(value, names = false) {
  if (Array.isArray(value)) return value.map((item) => bare(item));
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([key]) => names || !["title", "description", "default"].includes(key));
  return Object.fromEntries(
    kept.map(([key, inner]) => [key, bare(inner, !names && ["properties", "$defs"].includes(key))]),
  );
}

if (process.argv.includes("--check")) {
  if ((await readFile(target, "utf8")) !== text) {
    console.error("src/schemas.js is not what spec/schema gives: run node scripts/schemas.mjs");
    process.exit(1);
  }
} else {
  await writeFile(target, text);
}
