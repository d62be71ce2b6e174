import type { Store } from "@scformat/reader";
import { useDeferred } from "../deferred";
import { useMemo, useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, figure, percent, plural } from "../format";
import { Awaited } from "../parts/awaited";
import { Field } from "../parts/field";
import { go, hrefOf } from "../route";
import type { ViewProps } from "../shell";

const SHOWN = 100;
/** Sources that are asked for a gene without being told to. */
const ASKED = 64;

interface Index {
  ids: string[];
  symbols: string[];
  biotypes: string[];
  taxa: Int32Array;
}

export function GenesView({ store, params }: ViewProps) {
  const index = useAsync<Index>(async () => {
    const [ids, symbols, biotypes, taxa] = await Promise.all([
      store.genes.id.all(),
      store.genes.symbol.all(),
      store.genes.biotype.all(),
      store.genes.taxa(),
    ]);
    return { ids, symbols, biotypes, taxa };
  }, [store]);
  return (
    <>
      <header class="head">
        <h1>Genes</h1>
        <p class="lead">One index for all sources. Absent is not zero: a source says only of the genes it measured.</p>
      </header>
      <Awaited of={index} what="Reading the gene index">
        {(found) => <Search store={store} index={found} params={params} />}
      </Awaited>
    </>
  );
}

function Search({ store, index, params }: { store: Store; index: Index; params: URLSearchParams }) {
  const [typed, setTyped] = useState(params.get("find") ?? "");
  const [taxon, setTaxon] = useState("");
  const wanted = useDeferred(typed);
  const found = useMemo(() => search(index, wanted.trim().toLowerCase(), taxon), [index, wanted, taxon]);
  const chosen = params.has("gene") ? Number(params.get("gene")) : found[0];
  const { organisms } = store.manifest.genes;
  const names = new Map(
    organisms.map((organism) => [organism.taxon, organism.taxon === 0 ? "unknown" : organism.name]),
  );
  const short = (name = "") => name.replace(/^([A-Z])[a-z]+ ([a-z]+)$/, "$1. $2");
  return (
    <>
      <div class="controls">
        <Field label="Find" class="grow">
          <input
            type="search"
            name="gene"
            value={typed}
            placeholder="symbol or id, such as CD3D or ENSG00000167286"
            onInput={(event) => {
              setTyped(event.currentTarget.value);
              go(hrefOf("genes", { find: event.currentTarget.value || undefined }), { replace: true });
            }}
          />
        </Field>
        {organisms.length > 1 && (
          <Field label="Organism">
            <select value={taxon} onChange={(event) => setTaxon(event.currentTarget.value)}>
              <option value="">all</option>
              {organisms.map((organism) => (
                <option key={organism.taxon} value={organism.taxon}>
                  {names.get(organism.taxon)}
                </option>
              ))}
            </select>
          </Field>
        )}
      </div>
      <div class="two">
        <div class="card flush">
          <p class="caption">
            {plural(found.length, "gene")}
            {found.length > SHOWN && <>; the first {SHOWN}</>}
          </p>
          <table class="genes">
            <thead>
              <tr>
                <th>Symbol</th>
                <th>Id</th>
                <th>Biotype</th>
                {organisms.length > 1 && <th>Organism</th>}
              </tr>
            </thead>
            <tbody>
              {found.slice(0, SHOWN).map((gene) => (
                <tr key={gene} class={gene === chosen ? "chosen" : undefined} data-gene={gene}>
                  <th scope="row">
                    <a
                      href={hrefOf("genes", { find: typed || undefined, gene })}
                      aria-current={gene === chosen ? "true" : undefined}
                    >
                      {index.symbols[gene]}
                    </a>
                  </th>
                  <td>
                    <code>{index.ids[gene]}</code>
                  </td>
                  <td class="muted">{index.biotypes[gene].replaceAll("_", " ")}</td>
                  {organisms.length > 1 && <td class="muted">{short(names.get(index.taxa[gene]))}</td>}
                </tr>
              ))}
            </tbody>
          </table>
          {found.length === 0 && <p class="empty">No gene has “{wanted}” in its symbol or id.</p>}
        </div>
        {chosen !== undefined && chosen < index.ids.length && (
          <Gene key={chosen} store={store} gene={chosen} index={index} />
        )}
      </div>
    </>
  );
}

/** Numbers of genes: those that are the text, then those that begin with it, then those that have it in them. */
function search({ ids, symbols, taxa }: Index, wanted: string, taxon: string): number[] {
  const ranks: number[][] = [[], [], []];
  for (let gene = 0; gene < ids.length; gene++) {
    if (taxon !== "" && taxa[gene] !== Number(taxon)) continue;
    const [id, symbol] = [ids[gene].toLowerCase(), symbols[gene].toLowerCase()];
    if (id === wanted || symbol === wanted) ranks[0].push(gene);
    else if (id.startsWith(wanted) || symbol.startsWith(wanted)) ranks[1].push(gene);
    else if (id.includes(wanted) || symbol.includes(wanted)) ranks[2].push(gene);
  }
  return ranks.flat();
}

function Gene({ store, gene, index }: { store: Store; gene: number; index: Index }) {
  const nSources = store.manifest.parts.reduce((n, part) => n + part.sources.n, 0);
  const [asked, setAsked] = useState(nSources <= ASKED);
  const answer = useAsync(async () => {
    if (!asked) return undefined;
    const [records, rows] = await Promise.all([store.sources(), store.genes.bySource(gene)]);
    return rows.map((row) => ({ ...row, name: records[row.source].name, ofCells: records[row.source].n_cells }));
  }, [store, gene, asked]);
  return (
    <section class="card gene" data-gene={gene}>
      <h2>{index.symbols[gene]}</h2>
      <p class="muted small">
        <code>{index.ids[gene]}</code> · number {count(gene)} of the index
      </p>
      {!asked && (
        <button type="button" class="quiet" onClick={() => setAsked(true)}>
          Ask {plural(nSources, "source")}
        </button>
      )}
      <Awaited of={answer}>
        {(rows) => {
          if (rows === undefined) return null;
          const cells = rows.reduce((n, row) => n + row.cells, 0);
          const among = rows.reduce((n, row) => n + (row.measured ? row.ofCells : 0), 0);
          return (
            <>
              <p>
                Found in <strong data-cells={cells}>{plural(cells, "cell")}</strong> of the {count(among)} whose source
                measured it.
              </p>
              <table class="by-source">
                <thead>
                  <tr>
                    <th>Source</th>
                    <th class="number">Cells with it</th>
                    <th class="bar-column">
                      <span class="visually-hidden">Share</span>
                    </th>
                    <th class="number">Mean</th>
                    <th class="number" title="lower median of the counts above 0">
                      Median
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row) => (
                    <tr key={row.source} class={row.measured ? undefined : "absent"}>
                      <th scope="row" title={row.name}>
                        {row.name}
                      </th>
                      {row.measured ? (
                        <>
                          <td class="number">{count(row.cells)}</td>
                          <td class="bar-column">
                            <div class="bars" title={row.ofCells ? percent(row.cells / row.ofCells) : ""}>
                              <i
                                class="weighted"
                                style={{ width: `${row.ofCells ? (100 * row.cells) / row.ofCells : 0}%` }}
                              />
                            </div>
                          </td>
                          <td class="number">{row.ofCells ? figure(row.sum / row.ofCells) : ""}</td>
                          <td class="number">{row.cells ? count(row.median) : ""}</td>
                        </>
                      ) : (
                        <td colSpan={4}>not measured</td>
                      )}
                    </tr>
                  ))}
                </tbody>
              </table>
            </>
          );
        }}
      </Awaited>
    </section>
  );
}
