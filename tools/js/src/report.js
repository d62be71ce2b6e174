/** What a store holds, as the JSON of the conformance kit. */

/** @typedef {import("./store.js").Store} Store */

/**
 * A number as JSON has it: text beyond 2^53, and for what JSON has no numbers.
 *
 * @param {string | number | bigint | boolean | null} value
 */
function plain(value) {
  if (typeof value === "bigint") return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : String(value);
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** @param {Store} store */
export async function describe(store) {
  const { manifest, genes } = store;
  const [id, symbol, taxon, sources] = await Promise.all([
    genes.id.all(),
    genes.symbol.all(),
    genes.taxa(),
    store.sources(),
  ]);
  return {
    version: manifest.version,
    n_cells: manifest.n_cells,
    n_genes: genes.length,
    n_entries: manifest.n_entries,
    genes: { id, symbol, taxon: Array.from(taxon) },
    labels: await named(store.labels, describeLabel),
    sources: sources.map((source) => ({ name: source.name, n_cells: source.n_cells })),
    splits: manifest.splits?.names ?? null,
    tables: await named(new Map(manifest.tables.map(({ name }) => [name, name])), (name) => describeTable(store, name)),
  };
}

/**
 * @template T
 * @param {Map<string, T>} members
 * @param {(member: T) => Promise<object>} ask
 */
async function named(members, ask) {
  return Object.fromEntries(
    await Promise.all([...members].map(async ([name, member]) => /** @type {const} */ ([name, await ask(member)]))),
  );
}

/** @param {import("./labels.js").Label} label */
async function describeLabel(label) {
  const graph = await label.ontology();
  return {
    categories: await label.categories(),
    counts: await label.counts(),
    terms: graph ? { id: graph.id, name: graph.name, counts: graph.counts } : null,
  };
}

/**
 * @param {Store} store
 * @param {string} name
 */
async function describeTable(store, name) {
  const { entry, strata } = await store.table(name);
  return {
    by: entry.by,
    n_strata: strata.n,
    n_cells: entry.n_cells,
    counts: Array.from(strata.counts),
    masses: strata.masses.map(String),
    digest: entry.sha256,
  };
}

/**
 * @param {Store} store
 * @param {number[]} rows
 */
export async function readCells(store, rows) {
  const cells = await store.read(rows);
  const obs = await Promise.all(cells.map(({ record }) => store.obsOf(record)));
  return {
    cells: cells.map(({ record, source, barcode, totalCounts, nGenes, split, genes, counts, measured, labels }, i) => ({
      row: record.row,
      source,
      source_row: record.sourceRow,
      barcode,
      total_counts: totalCounts,
      n_genes: nGenes,
      split,
      genes: Array.from(genes),
      counts: Array.from(counts),
      measured,
      labels,
      obs: Object.fromEntries(Object.entries(obs[i]).map(([name, value]) => [name, plain(value)])),
    })),
  };
}
