// The click-through: every view of the built page on a store served on loopback, its numbers compared with what
// `scformat info --json`, `read` and `draw` say. VIEWER_STORE is the store, VIEWER_EXPECTED a JSON file of these answers
// (tests/viewer makes both); VIEWER_SCREENSHOTS, where it is given, a directory for pictures.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./browser.mjs";
import { serve } from "./server.mjs";

const { VIEWER_STORE = "", VIEWER_EXPECTED = "", VIEWER_SCREENSHOTS } = process.env;
const DIST = new URL("../dist/", import.meta.url).pathname;
const PATIENCE = 30_000;

const expected = JSON.parse(await readFile(VIEWER_EXPECTED, "utf8"));
const { info, cells, draws } = expected;
const name = basename(VIEWER_STORE);

/** @type {Awaited<ReturnType<typeof serve>>} */
let site;
/** @type {Awaited<ReturnType<typeof launch>>} */
let browser;
/** @type {import("playwright-core").Page} */
let page;
/** @type {string[]} */
const complaints = [];

before(async () => {
  site = await serve({ "": DIST, [name]: VIEWER_STORE });
  browser = await launch({ permissions: ["clipboard-read", "clipboard-write"] });
  page = await browser.context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
});

after(async () => {
  await browser?.close();
  await site?.close();
});

/** @param {string} picture */
async function picture(picture) {
  if (!VIEWER_SCREENSHOTS) return;
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(VIEWER_SCREENSHOTS, `viewer-${picture}.png`) });
}

const settled = () =>
  page.waitForFunction(() => document.querySelector("main[data-view]") && !document.querySelector(".busy, .stale"));

/** @param {string} view */
async function visit(view) {
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: view }).click();
  await page.waitForSelector(`main[data-view="${view.toLowerCase()}"]`);
  await settled();
}

/** @param {string} text */
const number = (text) => Number(text.replaceAll(",", ""));

/**
 * @param {string} selector
 * @param {string} attribute
 */
const attributes = (selector, attribute) =>
  page.$$eval(selector, (found, wanted) => found.map((element) => element.getAttribute(wanted)), attribute);

describe("the first page", () => {
  test("says in one line why something is no store", async () => {
    await page.goto(`${site.url}/`);
    await picture("opening");
    await page.getByLabel("URL of a store").fill("nothing.cells");
    await page.getByRole("button", { name: "Open", exact: true }).click();
    const line = await page.getByRole("alert").innerText();
    assert.match(line, /nothing\.cells: there is no zarr\.json, so there is no store \[INT-13\]/);
    assert.match(line, /not-a-store/);
    assert.equal(complaints.filter((text) => !text.includes("404")).length, 0);
    complaints.length = 0;
  });

  test("opens a store by its URL, and keeps it in the address", async () => {
    await page.getByLabel("URL of a store").fill(name);
    await page.getByLabel("URL of a store").press("Enter");
    await page.waitForSelector('main[data-view="overview"]');
    assert.equal(new URL(page.url()).searchParams.get("store"), name);
    await page.reload();
    await page.waitForSelector('main[data-view="overview"]');
    assert.equal(await page.locator(".store-name").innerText(), name);
  });
});

describe("the views", () => {
  test("overview: the sizes that info gives", async () => {
    await settled();
    const figure = async (/** @type {string} */ which) =>
      Number(await page.getAttribute(`[data-figure="${which}"]`, "data-value"));
    assert.equal(await figure("cells"), info.n_cells);
    assert.equal(await figure("genes"), info.n_genes);
    assert.equal(await figure("entries"), info.n_entries);
    assert.equal(await figure("sources"), info.n_sources);
    assert.equal(await figure("labels"), info.labels.length);
    assert.equal(await figure("tables"), info.tables.length);
    const text = await page.locator("main").innerText();
    assert.ok(text.includes(info.sha256) && text.includes(info.genes.index_digest));
    for (const { name: split, cells: n } of info.splits.splits ?? [])
      assert.ok(text.includes(`${split}\n${n.toLocaleString("en")}`), split);
    for (const table of info.tables) assert.ok(text.includes(table.name ?? table));
    await picture("overview");
  });

  test("sources: one row each, and what is in a record", async () => {
    await visit("Sources");
    assert.deepEqual(
      await attributes("tr[data-source]", "data-source"),
      info.sources.map((/** @type {any} */ source) => source.name),
    );
    const [first] = info.sources;
    const row = await page.locator("tr[data-source]").first().innerText();
    assert.ok(row.includes(first.n_cells.toLocaleString("en")) && row.includes(first.n_vars.toLocaleString("en")));
    await page.getByRole("button", { name: first.name, exact: true }).click();
    const details = await page.locator("tr.details").innerText();
    assert.ok(details.includes(first.sha256) && details.includes(first.total.toLocaleString("en")));
    for (const column of first.columns) assert.ok(details.includes(column), column);
    await picture("sources");
    await page.getByRole("searchbox").fill("no source is called this");
    assert.equal(await page.locator("tr[data-source]").count(), 0);
  });

  test("labels: counts of every category, natural and weighted", async () => {
    await visit("Labels");
    for (const label of info.labels.slice(0, 4)) {
      await page
        .getByRole("navigation", { name: "Labels" })
        .getByRole("link", { name: new RegExp(`^${label.name}\\b`) })
        .first()
        .click();
      await page.waitForSelector(`[data-label="${label.name}"] tr[data-category]`);
      await settled();
      const names = await attributes("tr[data-category]", "data-category");
      const counts = await attributes("tr[data-category]", "data-cells");
      const found = Object.fromEntries(names.map((category, i) => [category, Number(counts[i])]));
      assert.deepEqual(
        found,
        Object.fromEntries(
          expected.labels[label.name].categories.map((/** @type {string} */ category, /** @type {number} */ c) => [
            category,
            expected.labels[label.name].counts[c],
          ]),
        ),
      );
    }
  });

  test("labels: a table that draws all alike gives all the same share", async () => {
    await page
      .getByRole("link", { name: /^cell_type\b/ })
      .first()
      .click();
    await page.locator('select[name="table"]').selectOption("balanced");
    await page.waitForSelector("tr[data-weighted]");
    await settled();
    const shares = (await attributes("tr[data-category]", "data-weighted")).map(Number);
    assert.ok(shares.length > 5 && shares.every((share) => Math.abs(share - 1 / shares.length) < 1e-6), String(shares));
    await picture("labels");
    await page.getByLabel("Sort by").selectOption("name");
    await page.getByRole("radio", { name: "log" }).check();
    const sorted = await attributes("tr[data-category]", "data-category");
    assert.deepEqual(
      sorted,
      [...sorted].sort((a, b) => (a ?? "").localeCompare(b ?? "")),
    );
    await page.getByRole("searchbox").fill(sorted[0] ?? "");
    assert.ok((await page.locator("tr[data-category]").count()) >= 1);
  });

  test("ontology: counts at or below every term, opened by mouse and by keys", async () => {
    await visit("Ontology");
    const terms = expected.labels.cell_type.terms;
    const counts = new Map(terms.id.map((/** @type {string} */ id, /** @type {number} */ i) => [id, terms.counts[i]]));
    const shown = async () => {
      const ids = await attributes("[role=treeitem]", "data-term");
      const cells = await attributes("[role=treeitem]", "data-cells");
      ids.forEach((id, i) => assert.equal(Number(cells[i]), counts.get(id), String(id)));
      return ids.length;
    };
    const before = await shown();
    await picture("ontology");
    await page.locator('[role=treeitem][aria-expanded="false"]').first().click();
    assert.ok((await shown()) > before);
    await page.locator("[role=treeitem]").first().focus();
    await page.keyboard.press("ArrowLeft");
    await page.waitForFunction((n) => document.querySelectorAll("[role=treeitem]").length < n, before);
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.querySelectorAll("[role=treeitem]").length > 1);
    const own = expected.labels.cell_type.categories.find((/** @type {string} */ category) =>
      terms.name.includes(category),
    );
    await page.getByRole("searchbox").fill(own);
    await page.waitForFunction((wanted) => document.querySelector(".tree")?.textContent?.includes(wanted), own);
    await shown();
  });

  test("genes: found by symbol and by id, with what each source found", async () => {
    await visit("Genes");
    const { id, symbol, cells: n } = expected.gene;
    const box = page.getByRole("searchbox");
    await box.fill(symbol);
    await page.waitForFunction(
      (wanted) => document.querySelector("table.genes tbody th")?.textContent?.trim() === wanted,
      symbol,
    );
    await box.fill(id);
    await page.waitForFunction(
      (wanted) =>
        document.querySelectorAll("table.genes tbody tr").length === 1 &&
        document.querySelector("table.genes code")?.textContent === wanted,
      id,
    );
    await page.waitForSelector(`.gene strong[data-cells="${n}"]`);
    await box.fill(symbol.slice(0, 3));
    await page.waitForTimeout(400);
    await settled();
    await picture("genes");
    await box.fill("no gene is called this");
    await page.getByText("No gene has").waitFor();
  });

  test("cells: the counts that read gives", async () => {
    await visit("Cells");
    for (const cell of cells) {
      await page.getByLabel(/^Row/).fill(String(cell.row));
      await page.getByRole("button", { name: "Show" }).click();
      await page.waitForSelector(`.cell[data-row="${cell.row}"]`);
      await settled();
      const card = page.locator(".cell");
      assert.equal(Number(await card.getAttribute("data-total")), cell.total_counts);
      assert.equal(Number(await card.getAttribute("data-genes")), cell.n_genes);
      const text = await card.innerText();
      assert.ok(text.includes(cell.barcode) && text.includes(cell.source));
      for (const category of Object.values(cell.labels))
        if (category !== null) assert.ok(text.includes(String(category)), String(category));
      const order = cell.counts.map((/** @type {number} */ _, /** @type {number} */ i) => i);
      order.sort((/** @type {number} */ a, /** @type {number} */ b) => cell.counts[b] - cell.counts[a] || a - b);
      const top = order.slice(0, 25);
      assert.deepEqual(
        (await attributes("tr[data-count]", "data-gene")).map(Number),
        top.map((/** @type {number} */ i) => cell.genes[i]),
      );
      assert.deepEqual(
        (await attributes("tr[data-count]", "data-count")).map(Number),
        top.map((/** @type {number} */ i) => cell.counts[i]),
      );
    }
    await picture("cells");
    await page.getByRole("button", { name: "Next cell" }).click();
    await page.waitForSelector(`.cell[data-row="${cells[cells.length - 1].row + 1}"]`);
  });

  test("draw: the rows that draw gives, and the clipboard has them", async () => {
    await visit("Draw");
    const shown = draws.find((/** @type {any} */ draw) => draw.shown);
    const { table, plan, seed, start, count, window, lanes, block } = shown.request;
    await page.locator('select[name="table"]').selectOption(table);
    await page.getByRole("radio", { name: plan }).check();
    await page.getByLabel("Seed").fill(String(seed));
    await page.getByLabel("From position").fill(String(start));
    await page.locator('input[name="count"]').fill(String(count));
    await page.getByText("Window, lanes, block").click();
    for (const [field, value] of Object.entries({ window, lanes, block }))
      await page.locator(`input[name="${field}"]`).fill(String(value));
    await page.getByRole("button", { name: "Draw" }).click();
    await page.waitForFunction(
      (rows) => document.querySelector("table.batch")?.getAttribute("data-rows") === rows,
      JSON.stringify(shown.rows),
    );
    await settled();
    assert.deepEqual((await attributes("table.batch tr[data-row]", "data-row")).map(Number), shown.rows);
    await picture("draw");
    await page.getByRole("button", { name: "Copy the rows" }).click();
    assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), shown.rows);
    await page.locator('input[name="lanes"]').fill("7");
    await page.getByRole("button", { name: "Draw" }).click();
    assert.match(await page.getByRole("alert").innerText(), /does not divide the window/);
    await page.locator("table.batch").waitFor({ state: "detached" });
  });

  test("a row of a batch leads to its cell", async () => {
    await page.locator('input[name="lanes"]').fill("8");
    await page.getByRole("button", { name: "Draw" }).click();
    const link = page.locator("table.batch tbody a").first();
    const row = number(await link.innerText());
    await link.click();
    await page.waitForSelector(`.cell[data-row="${row}"]`);
  });
});

describe("the same rows in the browser as in Python", () => {
  for (const [i, { request, n, sha256 }] of draws.entries()) {
    if (sha256 === undefined) continue;
    const { table = "all cells", plan, count } = request;
    test(`${i}: ${count} of ${table}, ${plan}`, async () => {
      const found = await page.evaluate(async (asked) => {
        const { store, draw } = /** @type {any} */ (window).scformat;
        const rows = await draw(store, asked);
        const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(rows.join(",")));
        return {
          n: rows.length,
          sha256: Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(""),
        };
      }, request);
      assert.deepEqual(found, { n, sha256 });
    });
  }
});

describe("the page", () => {
  test("never reads what grows with the cells wholesale", async () => {
    const quiet = await browser.context.newPage();
    const from = site.requests.length;
    await quiet.goto(`${site.url}/?store=${name}`);
    for (const view of ["sources", "labels", "ontology", "genes"]) {
      await quiet.goto(`${site.url}/?store=${name}#/${view}`);
      await quiet.waitForFunction(() => document.querySelector("main[data-view]") && !document.querySelector(".busy"));
    }
    await quiet.close();
    const perCell = site.requests.slice(from).filter((request) => /parts\/\d+\/(counts|cells|obs)\//.test(request));
    assert.deepEqual(perCell, []);
  });

  test("works with a server that does not answer to ranges", async () => {
    const plain = await serve({ "": DIST, [name]: VIEWER_STORE }, { ranges: false });
    const other = await browser.context.newPage();
    await other.goto(`${plain.url}/?store=${name}#/cells?row=${cells[0].row}`);
    await other.waitForSelector(`.cell[data-row="${cells[0].row}"][data-total="${cells[0].total_counts}"]`, {
      timeout: PATIENCE,
    });
    await other.close();
    await plain.close();
  });

  test("opens a folder of this computer", async () => {
    const other = await browser.context.newPage();
    await other.goto(`${site.url}/`);
    await other.locator("#files").setInputFiles(VIEWER_STORE);
    await other.waitForSelector('main[data-view="overview"]', { timeout: PATIENCE });
    assert.equal(Number(await other.getAttribute('[data-figure="cells"]', "data-value")), info.n_cells);
    await other.goto(`${other.url()}#/cells?row=${cells[0].row}`);
    await other.waitForSelector(`.cell[data-row="${cells[0].row}"][data-total="${cells[0].total_counts}"]`, {
      timeout: PATIENCE,
    });
    await other.close();
  });

  test("shows the reader's line where a chunk is damaged", async () => {
    const damaged = process.env.VIEWER_DAMAGED ?? "";
    const broken = await serve({ "": DIST, "damaged.cells": damaged });
    const other = await browser.context.newPage();
    await other.goto(`${broken.url}/?store=damaged.cells#/cells?row=0`);
    const line = await other.getByRole("alert").innerText({ timeout: PATIENCE });
    assert.match(
      line,
      /entries: chunk .* cannot be read: .*crc32c: the checksum is \d+, that of the bytes is \d+ \[ZAR-21\]/,
    );
    await other.close();
    await broken.close();
  });

  test("has a dark theme, and remembers it", async () => {
    await visit("Overview");
    const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await paper();
    await page.getByRole("radio", { name: "dark" }).check();
    const dark = await paper();
    assert.notEqual(dark, light);
    await page.reload();
    await page.waitForSelector('main[data-view="overview"]');
    assert.equal(await paper(), dark);
    await visit("Labels");
    await picture("dark");
    await page.getByRole("radio", { name: "auto" }).check();
    assert.equal(await paper(), light);
  });

  test("can be walked through with the keyboard", async () => {
    await visit("Overview");
    await page.reload();
    await page.waitForSelector('main[data-view="overview"]');
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent?.trim()), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    const link = page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Genes" });
    await link.focus();
    const outline = await link.evaluate((element) => getComputedStyle(element).outlineStyle);
    assert.notEqual(outline, "none");
    await page.keyboard.press("Enter");
    await page.waitForSelector('main[data-view="genes"]');
  });

  test("closes a store", async () => {
    await page.getByRole("button", { name: "Open another" }).click();
    await page.getByLabel("URL of a store").waitFor();
    assert.equal(new URL(page.url()).search, "");
  });

  test("complained of nothing", () => {
    assert.deepEqual(complaints, []);
  });
});
