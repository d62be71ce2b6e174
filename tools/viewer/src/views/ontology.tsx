import { type Store, sharesOfNodes } from "@scformat/reader";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, percent } from "../format";
import { Awaited } from "../parts/awaited";
import { Bars, Legend, type Scale } from "../parts/bars";
import { Field } from "../parts/field";
import { Segmented } from "../parts/segmented";
import { TablePicker, tablesOf } from "../parts/table-picker";
import { go, hrefOf } from "../route";
import type { ViewProps } from "../shell";

type Graph = NonNullable<Awaited_<ReturnType<ReturnType<Store["label"]>["ontology"]>>>;
type Awaited_<T> = T extends Promise<infer U> ? U : T;

/** Rows of a tree that is shown whole. */
const AT_FIRST = 40;

export function OntologyView({ store, params }: ViewProps) {
  const labels = store.manifest.labels.filter(({ ontology }) => ontology);
  const name = params.get("label") ?? labels[0]?.name;
  if (name === undefined) return <p class="empty">No label of the store has categories of an ontology.</p>;
  const tables = tablesOf(store, name);
  const table = params.get("table") ?? tables[0]?.name ?? "";
  return (
    <>
      <header class="head">
        <h1>Ontology</h1>
        <p class="lead">
          The terms of a label with all that is above them. A cell counts once at each term at or above its own.
        </p>
      </header>
      <Tree key={name} store={store} name={name} table={table}>
        <Field label="Label">
          <select
            value={name}
            onChange={(event) => go(hrefOf("ontology", { label: event.currentTarget.value }), { replace: true })}
          >
            {labels.map((label) => (
              <option key={label.name}>{label.name}</option>
            ))}
          </select>
        </Field>
        {tables.length > 0 && (
          <TablePicker
            tables={tables}
            value={table}
            none="none"
            onChange={(next) => go(hrefOf("ontology", { label: name, table: next }), { replace: true })}
          />
        )}
      </Tree>
    </>
  );
}

interface TreeProps {
  store: Store;
  name: string;
  table: string;
  children: preact.ComponentChildren;
}

function Tree({ store, name, table, children }: TreeProps) {
  const [scale, setScale] = useState<Scale>("linear");
  const [wanted, setWanted] = useState("");
  const answer = useAsync(async () => {
    const label = store.label(name);
    const graph = await label.ontology();
    if (graph === undefined) throw new Error(`${name} has no ontology`);
    const counts = await label.counts();
    const shares = table === "" ? undefined : (await store.table(table)).sharesOf(name);
    const weighted = shares && sharesOfNodes(graph, [...shares].slice(0, label.nCategories));
    const categories = await label.categories();
    const outside = categories
      .map((category, c) => ({ category, cells: counts[c], share: shares?.[c] }))
      .filter((_, c) => graph.categoryTerms[c] < 0);
    return { graph, weighted, total: counts.reduce((a, b) => a + b, 0), outside };
  }, [store, name, table]);
  return (
    <>
      <div class="controls">
        {children}
        <Segmented legend="Scale" name="scale" options={["linear", "log"] as const} value={scale} onChange={setScale} />
        <Field label="Find" class="grow">
          <input
            type="search"
            value={wanted}
            placeholder="term or id"
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </Field>
      </div>
      <Awaited of={answer}>
        {({ graph, weighted, total, outside }) => (
          <>
            <div class="card flush">
              <Legend weighted={table || undefined} />
              <div class={weighted ? "tree-head" : "tree-head plain"} aria-hidden="true">
                <span>
                  Term; <strong>dark</strong> where it is a category
                </span>
                <span class="number">Cells</span>
                <span />
                <span class="number">Natural</span>
                {weighted && <span class="number">Weighted</span>}
              </div>
              <Nodes
                graph={graph}
                weighted={weighted}
                total={total}
                scale={scale}
                wanted={wanted.trim().toLowerCase()}
              />
            </div>
            {outside.length > 0 && (
              <details class="card">
                <summary>
                  <h2>Categories that are no terms</h2> <span class="muted">{count(outside.length)}</span>
                </summary>
                <ul class="outside">
                  {outside.map(({ category, cells, share }) => (
                    <li key={category}>
                      <span>{category}</span>
                      <span class="number">{count(cells)}</span>
                      {share !== undefined && <span class="number strong">{percent(share)}</span>}
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </>
        )}
      </Awaited>
    </>
  );
}

interface Row {
  key: string;
  node: number;
  depth: number;
}

interface NodesProps {
  graph: Graph;
  weighted: Float64Array | undefined;
  total: number;
  scale: Scale;
  wanted: string;
}

function Nodes({ graph, weighted, total, scale, wanted }: NodesProps) {
  const [open, setOpen] = useState<ReadonlySet<string>>(() => firstOpen(graph));
  const [focus, setFocus] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const moved = useRef(false);
  const matching = useMemo(() => matches(graph, wanted), [graph, wanted]);
  const rows = useMemo(() => visible(graph, open, matching), [graph, open, matching]);
  const own = useMemo(() => {
    const found = new Uint8Array(graph.id.length);
    for (const node of graph.categoryTerms) if (node >= 0) found[node] = 1;
    return found;
  }, [graph]);
  const at = Math.min(focus, rows.length - 1);

  useEffect(() => {
    if (moved.current) list.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }, [at]);

  const toggle = (key: string, wantedOpen = !open.has(key)) => {
    const next = new Set(open);
    if (wantedOpen) next.add(key);
    else next.delete(key);
    setOpen(next);
  };
  const move = (to: number) => {
    moved.current = true;
    setFocus(Math.max(0, Math.min(to, rows.length - 1)));
  };
  const onKey = (event: KeyboardEvent) => {
    const row = rows[at];
    if (row === undefined) return;
    const isOpen = open.has(row.key);
    const above = rows.findLastIndex(({ depth }, i) => i < at && depth < row.depth);
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(at + 1),
      ArrowUp: () => move(at - 1),
      Home: () => move(0),
      End: () => move(rows.length - 1),
      ArrowRight: () => (graph.children[row.node].length > 0 && !isOpen ? toggle(row.key, true) : move(at + 1)),
      ArrowLeft: () => (isOpen ? toggle(row.key, false) : above >= 0 && move(above)),
      Enter: () => toggle(row.key),
      " ": () => toggle(row.key),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };

  if (rows.length === 0) return <p class="empty">No term has “{wanted}” in its name or id.</p>;
  return (
    <ul class={weighted ? "tree" : "tree plain"} role="tree" aria-label="Terms" ref={list} onKeyDown={onKey}>
      {rows.map(({ key, node, depth }, i) => {
        const children = graph.children[node].length;
        const isOpen = matching ? true : open.has(key);
        const natural = total ? graph.counts[node] / total : 0;
        return (
          <li
            key={key}
            role="treeitem"
            aria-level={depth + 1}
            aria-expanded={children > 0 ? isOpen : undefined}
            tabIndex={i === at ? 0 : -1}
            data-term={graph.id[node]}
            data-cells={graph.counts[node]}
            data-weighted={weighted?.[node]}
            style={{ "--depth": depth }}
            onClick={() => {
              setFocus(i);
              if (children > 0 && !matching) toggle(key);
            }}
            onFocus={() => setFocus(i)}
          >
            <span class="term">
              <span class={`caret${children === 0 ? " leaf" : ""}${isOpen ? " open" : ""}`} aria-hidden="true" />
              <span class={own[node] ? "name own" : "name"}>{graph.name[node]}</span>
              <code>{graph.id[node]}</code>
              {graph.parents[node].length > 1 && (
                <span class="tag" title={`below ${graph.parents[node].map((parent) => graph.name[parent]).join(", ")}`}>
                  {graph.parents[node].length} parents
                </span>
              )}
            </span>
            <span class="number">{count(graph.counts[node])}</span>
            <Bars natural={natural} weighted={weighted?.[node]} largest={1} scale={scale} />
            <span class="number">{percent(natural)}</span>
            {weighted && <span class="number strong">{percent(weighted[node])}</span>}
          </li>
        );
      })}
    </ul>
  );
}

const rootsOf = (graph: Graph): number[] =>
  bySize(
    graph,
    graph.parents.flatMap((parents, node) => (parents.length === 0 ? [node] : [])),
  );

const bySize = (graph: Graph, nodes: readonly number[]): number[] =>
  [...nodes].sort((a, b) => graph.counts[b] - graph.counts[a] || graph.name[a].localeCompare(graph.name[b]));

/** Keys of the terms that are open at first: all of a small tree, else the way down to where most cells are. */
function firstOpen(graph: Graph): ReadonlySet<string> {
  const all = new Set<string>();
  const add = (node: number, key: string) => {
    if (all.size > AT_FIRST) return;
    all.add(key);
    for (const child of graph.children[node]) add(child, `${key}/${child}`);
  };
  for (const root of rootsOf(graph)) add(root, String(root));
  if (all.size <= AT_FIRST) return all;
  const way = new Set<string>();
  const isCategory = new Set(graph.categoryTerms);
  let [node] = rootsOf(graph);
  for (let key = String(node); node !== undefined && !isCategory.has(node); key += `/${node}`) {
    way.add(key);
    [node] = bySize(graph, graph.children[node]);
  }
  return way;
}

/** Nodes that a search finds, and all above them; undefined where nothing is searched. */
function matches(graph: Graph, wanted: string): ReadonlySet<number> | undefined {
  if (wanted === "") return undefined;
  const found = new Set<number>();
  graph.name.forEach((name, node) => {
    if (!name.toLowerCase().includes(wanted) && !graph.id[node].toLowerCase().includes(wanted)) return;
    for (const above of graph.atOrAbove(node)) found.add(above);
  });
  return found;
}

/** Rows of the tree, from the top; a term below two others stands below each of them. */
function visible(graph: Graph, open: ReadonlySet<string>, matching: ReadonlySet<number> | undefined): Row[] {
  const rows: Row[] = [];
  const add = (node: number, key: string, depth: number) => {
    if (matching && !matching.has(node)) return;
    if (rows.length >= 2000) return;
    rows.push({ key, node, depth });
    if (!matching && !open.has(key)) return;
    for (const child of bySize(graph, graph.children[node])) add(child, `${key}/${child}`, depth + 1);
  };
  for (const root of rootsOf(graph)) add(root, String(root), 0);
  return rows;
}
