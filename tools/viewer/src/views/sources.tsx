import { useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, figure, percent } from "../format";
import { Awaited } from "../parts/awaited";
import type { ViewProps } from "../shell";

type Record = Awaited_<ReturnType<ViewProps["store"]["sources"]>>[number];
type Awaited_<T> = T extends Promise<infer U> ? U : T;
type Key = "order" | "name" | "n_cells" | "n_vars" | "depth";

const SHOWN = 200;

export function SourcesView({ store, params }: ViewProps) {
  return <Sources key={params.get("source")} store={store} first={params.get("source") ?? undefined} />;
}

function Sources({ store, first }: { store: ViewProps["store"]; first: string | undefined }) {
  const sources = useAsync(() => store.sources(), [store]);
  const [sorted, setSorted] = useState<Key>("order");
  const [wanted, setWanted] = useState("");
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState(first);
  return (
    <>
      <header class="head">
        <h1>Sources</h1>
        <p class="lead">Files that the cells came from, and what each one measured.</p>
      </header>
      <Awaited of={sources}>
        {(records) => {
          const most = Math.max(...records.map(({ n_cells: n }) => n), 1);
          const found = order(records, sorted).filter(({ name, study }) =>
            `${name} ${study ?? ""}`.toLowerCase().includes(wanted.toLowerCase()),
          );
          const shown = all ? found : found.slice(0, SHOWN);
          return (
            <>
              <div class="controls">
                <label class="field grow">
                  <span>Find</span>
                  <input
                    type="search"
                    value={wanted}
                    placeholder="name or study"
                    onInput={(event) => setWanted(event.currentTarget.value)}
                  />
                </label>
                <label class="field">
                  <span>Sort by</span>
                  <select value={sorted} onChange={(event) => setSorted(event.currentTarget.value as Key)}>
                    <option value="order">order in the store</option>
                    <option value="name">name</option>
                    <option value="n_cells">cells</option>
                    <option value="n_vars">columns</option>
                    <option value="depth">counts a cell</option>
                  </select>
                </label>
              </div>
              <div class="card scroll flush">
                <table class="sources">
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>Format</th>
                      <th class="number">Cells</th>
                      <th class="wide-bar" aria-hidden="true" />
                      <th class="number">Columns</th>
                      <th class="number">Known genes</th>
                      <th class="number">Genes a cell</th>
                      <th class="number">Counts a cell</th>
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map((record) => (
                      <Rows
                        key={record.name}
                        record={record}
                        most={most}
                        open={open === record.name}
                        toggle={() => setOpen(open === record.name ? undefined : record.name)}
                      />
                    ))}
                  </tbody>
                </table>
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
    </>
  );
}

const depth = ({ total, n_cells: n }: Record): number => (n === 0 ? 0 : total / n);

function order(records: readonly Record[], by: Key): Record[] {
  const sorted = [...records];
  if (by === "name") sorted.sort((a, b) => a.name.localeCompare(b.name));
  if (by === "depth") sorted.sort((a, b) => depth(b) - depth(a));
  if (by === "n_cells" || by === "n_vars") sorted.sort((a, b) => b[by] - a[by]);
  return sorted;
}

function Rows({ record, most, open, toggle }: { record: Record; most: number; open: boolean; toggle: () => void }) {
  const cells = record.n_cells;
  return (
    <>
      <tr class={open ? "open" : undefined} data-source={record.name}>
        <th scope="row">
          <button type="button" class="expand" aria-expanded={open} onClick={toggle}>
            {record.name}
          </button>
          {record.study && <div class="muted small">{record.study}</div>}
        </th>
        <td>
          {record.format} <span class="muted">{record.counts}</span>
        </td>
        <td class="number">{count(cells)}</td>
        <td class="wide-bar" aria-hidden="true">
          <div class="bars">
            <i class="natural" style={{ width: `${(100 * cells) / most}%` }} />
          </div>
        </td>
        <td class="number">{count(record.n_vars)}</td>
        <td class="number">{record.n_vars ? percent(record.n_resolved / record.n_vars) : ""}</td>
        <td class="number">{cells ? figure(Math.round(record.n_nonzero / cells)) : ""}</td>
        <td class="number">{figure(Math.round(depth(record)))}</td>
      </tr>
      {open && (
        <tr class="details">
          <td colSpan={8}>
            <dl class="facts wide">
              {facts(record).map(([name, value]) => (
                <>
                  <dt>{name}</dt>
                  <dd>{name === "SHA-256" ? <code class="digest">{value}</code> : value}</dd>
                </>
              ))}
            </dl>
            <h3>Columns of its obs</h3>
            <ul class="chips">
              {record.columns.map(({ name, kind }) => (
                <li key={name}>
                  {name} <span class="muted">{kind}</span>
                </li>
              ))}
            </ul>
            {record.not_kept.length > 0 && (
              <>
                <h3>Not kept</h3>
                <ul class="chips">
                  {record.not_kept.map((name) => (
                    <li key={name}>{name}</li>
                  ))}
                </ul>
              </>
            )}
          </td>
        </tr>
      )}
    </>
  );
}

function facts(record: Record): [string, string][] {
  const given: [string, string | undefined][] = [
    ["File", record.path],
    ["SHA-256", record.sha256],
    ["Counts", `${record.counts}, ${record.layout}, ${record.dtype}`],
    ["Cells", `${count(record.n_cells)} of ${count(record.n_rows)} rows`],
    [
      "Columns",
      `${count(record.n_vars)}: ${count(record.n_resolved)} known genes, ${count(record.n_merged)} merged, ${count(record.n_left_out)} left out`,
    ],
    ["Values above 0", `${count(record.n_nonzero)}, in sum ${count(record.total)}`],
    ["Genes named by", `${record.gene_id_kind}, in ${record.gene_ids}`],
    ["Study", record.study],
    ["Licence", record.licence],
    ["Citation", record.citation],
    ["DOI", record.doi],
    ...Object.entries(record.metadata ?? {}),
  ];
  return given.filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== "");
}
