/** Labels: categories, how many cells each has, and the ontology that they are terms of. */

import { broken } from "./errors.js";
import { asNumbers } from "./zarr.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").LabelEntry} LabelEntry */

export class Label {
  #store;
  /** @type {Promise<number[]> | undefined} */
  #counts;
  /** @type {Promise<Graph> | undefined} */
  #graph;

  /**
   * @param {Store} store
   * @param {LabelEntry} entry
   */
  constructor(store, entry) {
    this.#store = store;
    this.entry = entry;
    this.name = entry.name;
    this.strings = store.strings(entry.categories);
    this.nCategories = this.strings.length;
    this.hasOntology = entry.ontology !== undefined;
  }

  /** @returns {Promise<string[]>} */
  categories() {
    return this.strings.all();
  }

  /** Cells of each category. @returns {Promise<number[]>} */
  counts() {
    this.#counts ??= this.#store
      .array(this.entry.counts)
      .all()
      .then((found) => Array.from(asNumbers(found, this.entry.counts.path)));
    return this.#counts;
  }

  /** The term graph; undefined where categories are no terms. */
  async ontology() {
    if (this.entry.ontology === undefined) return undefined;
    this.#graph ??= readGraph(this.#store, this.entry.ontology, this.nCategories);
    return this.#graph;
  }
}

/**
 * @typedef {object} Graph
 * @property {string[]} id of each node
 * @property {string[]} name
 * @property {number[]} counts cells at or below each node, each once
 * @property {Int32Array} categoryTerms node of each category, or -1
 * @property {number[][]} parents of each node
 * @property {number[][]} children
 * @property {(node: number) => Int32Array} atOrAbove nodes at or above one
 */

/**
 * @param {Store} store
 * @param {import("./types.js").OntologyEntry} entry
 * @param {number} nCategories
 * @returns {Promise<Graph>}
 */
async function readGraph(store, entry, nCategories) {
  const t = entry.n_terms;
  const [id, name, edges, closure, offsets, counts, categoryTerms] = await Promise.all([
    store.strings(entry.id).all(),
    store.strings(entry.name).all(),
    store.array(entry.edges).all(),
    store.array(entry.closure).all(),
    store
      .array(entry.closure_offsets)
      .all()
      .then((found) => asNumbers(found, entry.closure_offsets.path)),
    store
      .array(entry.counts)
      .all()
      .then((found) => asNumbers(found, entry.counts.path)),
    store.array(entry.category_terms).all(),
  ]);
  const parents = Array.from({ length: t }, () => /** @type {number[]} */ ([]));
  const children = Array.from({ length: t }, () => /** @type {number[]} */ ([]));
  const n = edges.length / 2;
  for (let k = 0; k < n; k++) {
    const [child, parent] = [edges[k], edges[n + k]];
    if (!(child in parents) || !(parent in parents)) {
      throw broken("LAB-12", `${entry.edges.path}: edge ${k} joins ${child} and ${parent} of ${t} nodes`);
    }
    parents[child].push(parent);
    children[parent].push(child);
  }
  if (categoryTerms.some((/** @type {number} */ node) => node < -1 || node >= t)) {
    throw broken(
      "LAB-14",
      `${entry.category_terms.path}: a category's node is not one of ${t} (${nCategories} categories)`,
    );
  }
  if (offsets[0] !== 0 || offsets[t] !== closure.length || offsets.some((at, i) => i > 0 && at < offsets[i - 1])) {
    throw broken("LAB-13", `${entry.closure_offsets.path}: does not rise from 0 to ${closure.length}`);
  }
  if (closure.some((/** @type {number} */ node) => node < 0 || node >= t)) {
    throw broken("LAB-13", `${entry.closure.path}: a node that is not one of ${t}`);
  }
  return {
    id,
    name,
    counts: Array.from(counts),
    categoryTerms,
    parents,
    children,
    atOrAbove: (node) => closure.subarray(offsets[node], offsets[node + 1]),
  };
}

/**
 * Shares of the nodes of a graph, from shares of the categories: each category counts once at every node at or above its
 * own.
 *
 * @param {Graph} graph
 * @param {readonly number[]} shares of each category
 * @returns {Float64Array}
 */
export function sharesOfNodes(graph, shares) {
  const found = new Float64Array(graph.id.length);
  shares.forEach((share, category) => {
    const node = graph.categoryTerms[category];
    if (node >= 0) for (const above of graph.atOrAbove(node)) found[above] += share;
  });
  return found;
}
