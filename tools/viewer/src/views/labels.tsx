import type { Store } from "@scformat/reader";
import { useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, figure, percent, plural } from "../format";
import { Awaited } from "../parts/awaited";
import { Bars, Legend, type Scale } from "../parts/bars";
import { Segmented } from "../parts/segmented";
import { TablePicker, tablesOf } from "../parts/table-picker";
import { go, hrefOf } from "../route";
import type { ViewProps } from "../shell";

const SHOWN = 100;

export function LabelsView({ store, params }: ViewProps) {
  const names = store.manifest.labels.map(({ name }) => name);
  const chosen = params.get("label") ?? names[0];
  if (chosen === undefined) return <p class="empty">The store has no labels.</p>;
  return (
    <>
      <header class="head">
        <h1>Labels</h1>
        <p class="lead">What cells have in common, and how often a table draws it.</p>
      </header>
      <div class="aside">
        <nav class="list" aria-label="Labels">
          {store.manifest.labels.map(({ name, categories, ontology }) => (
            <a key={name} href={hrefOf("labels", { label: name })} aria-current={name === chosen ? "true" : undefined}>
              <span>{name}</span>
              {ontology && <span class="tag">ontology</span>}
              <span class="size">{count(categories.offsets.shape[0] - 1)}</span>
            </a>
          ))}
        </nav>
        <Distribution key={chosen} store={store} name={chosen} params={params} />
      </div>
    </>
  );
}

type Sort = "cells" | "weighted" | "name";

function Distribution({ store, name, params }: { store: Store; name: string; params: URLSearchParams }) {
  const tables = tablesOf(store, name);
  const table = params.get("table") ?? tables[0]?.name ?? "";
  const [sort, setSort] = useState<Sort>("cells");
  const [scale, setScale] = useState<Scale>("linear");
  const [wanted, setWanted] = useState("");
  const [all, setAll] = useState(false);
  const answer = useAsync(async () => {
    const label = store.label(name);
    const [categories, counts] = await Promise.all([label.categories(), label.counts()]);
    const shares = table === "" ? undefined : (await store.table(table)).sharesOf(name);
    return { categories, counts, shares };
  }, [store, name, table]);

  return (
    <section class="distribution" data-label={name}>
      <div class="controls">
        {tables.length > 0 && (
          <TablePicker
            tables={tables}
            value={table}
            none="none"
            onChange={(next) => go(hrefOf("labels", { label: name, table: next }), { replace: true })}
          />
        )}
        <label class="field">
          <span>Sort by</span>
          <select value={sort} onChange={(event) => setSort(event.currentTarget.value as Sort)}>
            <option value="cells">cells</option>
            {table && <option value="weighted">weighted share</option>}
            <option value="name">name</option>
          </select>
        </label>
        <Segmented legend="Scale" name="scale" options={["linear", "log"] as const} value={scale} onChange={setScale} />
        <label class="field grow">
          <span>Find</span>
          <input
            type="search"
            value={wanted}
            placeholder="category"
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </label>
      </div>
      <Awaited of={answer}>
        {({ categories, counts, shares }) => {
          const total = counts.reduce((a, b) => a + b, 0);
          const rows = categories.map((category, c) => ({
            category,
            cells: counts[c],
            natural: total ? counts[c] / total : 0,
            weighted: shares?.[c],
          }));
          const named = shares?.[categories.length] ?? 0;
          if (named > 0)
            rows.push({
              category: "(missing, as the table names it)",
              cells: store.nCells - total,
              natural: 0,
              weighted: named,
            });
          const largest = Math.max(...rows.map(({ natural, weighted }) => Math.max(natural, weighted ?? 0)), 0);
          const found = rows.filter(({ category }) => category.toLowerCase().includes(wanted.toLowerCase()));
          found.sort(
            sort === "name"
              ? (a, b) => a.category.localeCompare(b.category)
              : sort === "weighted"
                ? (a, b) => (b.weighted ?? 0) - (a.weighted ?? 0)
                : (a, b) => b.cells - a.cells,
          );
          const shown = all ? found : found.slice(0, SHOWN);
          return (
            <>
              <Summary
                natural={rows.map(({ natural }) => natural)}
                weighted={shares && rows.map(({ weighted }) => weighted ?? 0)}
                missing={store.nCells - total}
                nCategories={categories.length}
              />
              <div class="card flush">
                <Legend weighted={table || undefined} />
                <table class="categories">
                  <thead>
                    <tr>
                      <th>Category</th>
                      <th class="number">Cells</th>
                      <th class="bar-column">
                        <span class="visually-hidden">Shares</span>
                      </th>
                      <th class="number">Natural</th>
                      {shares && <th class="number">Weighted</th>}
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map(({ category, cells, natural, weighted }) => (
                      <tr key={category} data-category={category} data-cells={cells} data-weighted={weighted}>
                        <th scope="row">{category || <span class="muted">(empty)</span>}</th>
                        <td class="number">{count(cells)}</td>
                        <td class="bar-column">
                          <Bars natural={natural} weighted={weighted} largest={largest} scale={scale} />
                        </td>
                        <td class="number">{percent(natural)}</td>
                        {shares && <td class="number strong">{percent(weighted ?? 0)}</td>}
                      </tr>
                    ))}
                  </tbody>
                </table>
                {found.length === 0 && <p class="empty">No category has “{wanted}” in it.</p>}
              </div>
              {shown.length < found.length && (
                <button type="button" class="quiet" onClick={() => setAll(true)}>
                  Show all {count(found.length)}
                </button>
              )}
            </>
          );
        }}
      </Awaited>
    </section>
  );
}

/** Number of categories of equal share that would be as hard to guess: e to the entropy. */
function effective(shares: readonly number[]): number {
  return Math.exp(-shares.reduce((sum, p) => (p > 0 ? sum + p * Math.log(p) : sum), 0));
}

interface SummaryProps {
  natural: readonly number[];
  weighted: readonly number[] | undefined;
  missing: number;
  nCategories: number;
}

function Summary({ natural, weighted, missing, nCategories }: SummaryProps) {
  const rarest = Math.min(...natural.filter((share) => share > 0));
  const least = weighted && Math.min(...weighted.filter((share) => share > 0));
  return (
    <dl class="figures small">
      <div>
        <dt>Categories</dt>
        <dd>{count(nCategories)}</dd>
      </div>
      <div>
        <dt>Cells without one</dt>
        <dd title={plural(missing, "cell")}>{count(missing)}</dd>
      </div>
      {Number.isFinite(rarest) && (
        <>
          <div title="Categories of equal share that would be as hard to guess: e to the entropy">
            <dt>Effective categories</dt>
            <dd>
              {figure(effective(natural))}
              {weighted && <em>{figure(effective(weighted))}</em>}
            </dd>
          </div>
          <div>
            <dt>Rarest category</dt>
            <dd>
              {percent(rarest)}
              {least !== undefined && Number.isFinite(least) && <em>{percent(least)}</em>}
            </dd>
          </div>
        </>
      )}
    </dl>
  );
}
