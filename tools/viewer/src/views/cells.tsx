import type { Store } from "@scformat/reader";
import { useEffect, useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, figure, percent, plural } from "../format";
import { Awaited } from "../parts/awaited";
import { Field } from "../parts/field";
import { go, hrefOf } from "../route";
import type { ViewProps } from "../shell";

const TOP = 25;

export function CellsView({ store, params }: ViewProps) {
  const row = Number(params.get("row") ?? 0);
  const [typed, setTyped] = useState(String(row));
  useEffect(() => setTyped(String(row)), [row]);
  const last = store.nCells - 1;
  if (store.nCells === 0) return <p class="empty">The store has no cells.</p>;
  const show = (next: number) => go(hrefOf("cells", { row: next }));
  return (
    <>
      <header class="head">
        <h1>Cells</h1>
        <p class="lead">Any cell: a few reads, wherever it lies.</p>
      </header>
      <form
        class="controls"
        onSubmit={(event) => {
          event.preventDefault();
          show(Number(typed));
        }}
      >
        <Field label={`Row, 0 to ${count(last)}`}>
          <input
            name="row"
            type="number"
            min={0}
            max={last}
            required
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </Field>
        <button type="submit" class="primary">
          Show
        </button>
        <div class="group">
          <button
            type="button"
            class="quiet"
            disabled={row <= 0}
            onClick={() => show(row - 1)}
            aria-label="Previous cell"
          >
            ←
          </button>
          <button
            type="button"
            class="quiet"
            disabled={row >= last}
            onClick={() => show(row + 1)}
            aria-label="Next cell"
          >
            →
          </button>
          <button type="button" class="quiet" onClick={() => show(Math.floor(Math.random() * store.nCells))}>
            Any
          </button>
        </div>
      </form>
      <CellCard store={store} row={row} />
    </>
  );
}

function CellCard({ store, row }: { store: Store; row: number }) {
  const answer = useAsync(async () => {
    const [cell] = await store.read([row]);
    const [obs, symbols, ids] = await Promise.all([
      store.obsOf(cell.record),
      store.genes.symbol.all(),
      store.genes.id.all(),
    ]);
    const order = Array.from(cell.counts.keys()).sort((a, b) => cell.counts[b] - cell.counts[a] || a - b);
    const top = order
      .slice(0, TOP)
      .map((i) => ({ gene: cell.genes[i], symbol: symbols[cell.genes[i]], id: ids[cell.genes[i]], n: cell.counts[i] }));
    return { cell, obs, top, ranked: order.map((i) => cell.counts[i]), sum: cell.counts.reduce((a, b) => a + b, 0) };
  }, [store, row]);
  return (
    <Awaited of={answer} what="Reading the cell">
      {({ cell, obs, top, ranked, sum }) => {
        const labels = Object.entries(cell.labels).filter(([, category]) => category !== null);
        const values = Object.entries(obs).filter(([, value]) => value !== null);
        return (
          <div class="cell" data-row={cell.record.row} data-total={cell.totalCounts} data-genes={cell.nGenes}>
            <section class="card identity">
              <h2>{cell.barcode || <span class="muted">no name</span>}</h2>
              <p class="muted">
                Row {count(cell.record.row)}; row {count(cell.record.sourceRow)} of{" "}
                <a href={hrefOf("sources", { source: cell.source })}>{cell.source}</a>
                {cell.split && (
                  <>
                    ; split <strong>{cell.split}</strong>
                  </>
                )}
              </p>
              <dl class="figures small">
                <div>
                  <dt>Counts</dt>
                  <dd>
                    {cell.lowerBound && "≥ "}
                    {count(cell.totalCounts)}
                  </dd>
                </div>
                <div>
                  <dt>Genes found</dt>
                  <dd>{count(cell.nGenes)}</dd>
                </div>
                <div>
                  <dt>Genes measured</dt>
                  <dd title={`of ${count(store.genes.length)} of the index`}>{count(cell.measured)}</dd>
                </div>
              </dl>
              <h3>Labels</h3>
              {labels.length === 0 && <p class="muted">None.</p>}
              <dl class="facts">
                {labels.map(([name, category]) => (
                  <>
                    <dt>
                      <a href={hrefOf("labels", { label: name })}>{name}</a>
                    </dt>
                    <dd>{category}</dd>
                  </>
                ))}
              </dl>
              {values.length > 0 && (
                <details>
                  <summary>
                    <h3>Columns of its obs</h3> <span class="muted">{count(values.length)}</span>
                  </summary>
                  <dl class="facts">
                    {values.map(([name, value]) => (
                      <>
                        <dt>{name}</dt>
                        <dd>{typeof value === "number" ? figure(value) : String(value)}</dd>
                      </>
                    ))}
                  </dl>
                </details>
              )}
            </section>
            <section class="card flush">
              <div class="caption">
                <span>{ranked.length > TOP ? `The ${TOP} genes with most counts` : plural(ranked.length, "gene")}</span>
                <span class="muted">
                  {sum > 0 && `${percent(top.reduce((n, gene) => n + gene.n, 0) / sum)} of the counts`}
                </span>
              </div>
              {ranked.length === 0 ? (
                <p class="empty">A cell without counts.</p>
              ) : (
                <>
                  <Ranks values={ranked} />
                  <table class="top-genes">
                    <tbody>
                      {top.map(({ gene, symbol, id, n }) => (
                        <tr key={gene} data-gene={gene} data-count={n}>
                          <th scope="row">
                            <a href={hrefOf("genes", { find: symbol, gene })} title={id}>
                              {symbol}
                            </a>
                          </th>
                          <td class="bar-column">
                            <div class="bars" aria-hidden="true">
                              <i class="weighted" style={{ width: `${(100 * n) / top[0].n}%` }} />
                            </div>
                          </td>
                          <td class="number">{count(n)}</td>
                          <td class="number muted">{percent(n / sum)}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </>
              )}
            </section>
          </div>
        );
      }}
    </Awaited>
  );
}

const [WIDTH, HEIGHT] = [320, 96];

/** Counts by rank, both logarithmic: how a cell's counts are spread over its genes. */
function Ranks({ values }: { values: readonly number[] }) {
  const n = values.length;
  const x = (rank: number) => (n === 1 ? 0 : (WIDTH * Math.log(rank)) / Math.log(n));
  const top = Math.log(Math.max(values[0], 2));
  const y = (value: number) => HEIGHT - (HEIGHT * Math.log(value)) / top;
  const points: string[] = [];
  let before = -1;
  values.forEach((value, i) => {
    const at = x(i + 1);
    if (at - before < 0.8 && i < n - 1) return;
    before = at;
    points.push(`${at.toFixed(1)},${y(value).toFixed(1)}`);
  });
  return (
    <figure class="ranks">
      <svg
        viewBox={`-2 -4 ${WIDTH + 4} ${HEIGHT + 8}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Counts from ${count(values[0])} to ${count(values[n - 1])} over ${count(n)} genes`}
      >
        <path class="area" d={`M0,${HEIGHT} L${points.join(" L")} L${x(n).toFixed(1)},${HEIGHT} Z`} />
        <polyline points={points.join(" ")} />
      </svg>
      <figcaption>
        <span>{count(values[0])} counts</span>
        <span class="muted">genes by rank, both axes logarithmic</span>
        <span>{count(n)} genes</span>
      </figcaption>
    </figure>
  );
}
