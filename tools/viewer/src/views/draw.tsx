import { type Store, WINDOW_DEFAULTS, draw } from "@scformat/reader";
import { useState } from "preact/hooks";

import { useAsync } from "../async";
import { count, percent, plural } from "../format";
import { Awaited } from "../parts/awaited";
import { Bars, Legend } from "../parts/bars";
import { Field } from "../parts/field";
import { Segmented } from "../parts/segmented";
import { TablePicker } from "../parts/table-picker";
import { hrefOf } from "../route";
import type { ViewProps } from "../shell";

const PLANS = ["independent", "stratified", "epoch"] as const;
type Plan = (typeof PLANS)[number];

const SAYS: Record<Plan, string> = {
  independent: "Each draw by itself, from the table’s probabilities; cells may repeat.",
  stratified: "Every window has of each stratum what its mass says, to within one; reads run in blocks.",
  epoch: "Every cell once, in a random order.",
};

/** Cells of a batch that the page shows: each is a read of its record. */
const MOST = 512;

interface Request {
  table: string;
  plan: Plan;
  seed: string;
  start: string;
  count: number;
  window: number;
  lanes: number;
  block: number;
}

export function DrawView({ store, params }: ViewProps) {
  const { tables } = store.manifest;
  const [form, setForm] = useState<Request>(() => ({
    table: params.get("table") ?? tables[0]?.name ?? "",
    plan: tables.length > 0 ? "independent" : "epoch",
    seed: "0",
    start: "0",
    count: 64,
    ...WINDOW_DEFAULTS,
  }));
  const [request, setRequest] = useState<Request>(form);
  const change = (part: Partial<Request>) => setForm({ ...form, ...part });
  const needsTable = form.plan !== "epoch" && form.table === "";
  return (
    <>
      <header class="head">
        <h1>Draw</h1>
        <p class="lead">
          The same rows as in Python, for the same table, plan and seed: all arithmetic is on integers.
        </p>
      </header>
      <form
        class="card draw-form"
        onSubmit={(event) => {
          event.preventDefault();
          setRequest({ ...form });
        }}
      >
        <div class="controls">
          <TablePicker tables={tables} value={form.table} none="all cells" onChange={(table) => change({ table })} />
          <Segmented
            legend="Plan"
            name="plan"
            options={PLANS}
            value={form.plan}
            onChange={(plan) => change({ plan })}
          />
          <Whole label="Seed" name="seed" value={form.seed} onChange={(seed) => change({ seed })} />
          <Whole label="From position" name="start" value={form.start} onChange={(start) => change({ start })} />
          <Field label="Cells">
            <input
              name="count"
              type="number"
              min={1}
              max={MOST}
              required
              value={form.count}
              onInput={(event) => change({ count: Number(event.currentTarget.value) })}
            />
          </Field>
          <button type="submit" class="primary" disabled={needsTable}>
            Draw
          </button>
        </div>
        <p class="muted small">{needsTable ? "This plan needs a table." : SAYS[form.plan]}</p>
        {form.plan !== "independent" && (
          <details>
            <summary>Window, lanes, block</summary>
            <div class="controls">
              {(["window", "lanes", "block"] as const).map((name) => (
                <Field key={name} label={name[0].toUpperCase() + name.slice(1)}>
                  <input
                    name={name}
                    type="number"
                    min={1}
                    required
                    value={form[name]}
                    onInput={(event) => change({ [name]: Number(event.currentTarget.value) })}
                  />
                </Field>
              ))}
            </div>
          </details>
        )}
      </form>
      {(request.table !== "" || request.plan === "epoch") && <Batch store={store} request={request} />}
    </>
  );
}

interface WholeProps {
  label: string;
  name: string;
  value: string;
  onChange: (value: string) => void;
}

function Whole({ label, name, value, onChange }: WholeProps) {
  return (
    <Field label={label}>
      <input
        name={name}
        inputMode="numeric"
        pattern="[0-9]+"
        required
        size={8}
        value={value}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </Field>
  );
}

function Batch({ store, request }: { store: Store; request: Request }) {
  const entry = store.manifest.tables.find(({ name }) => name === request.table);
  const keys = entry?.keys.filter(({ kind }) => kind === "label").map(({ name }) => name) ?? [];
  const others = store.manifest.labels.map(({ name }) => name).filter((name) => !keys.includes(name));
  const shown = [...keys, ...others].slice(0, Math.max(2, keys.length));
  const answer = useAsync(async () => {
    const rows = await draw(store, { ...request, table: request.table || undefined });
    const [sources, records] = await Promise.all([store.sources(), Promise.all(rows.map((row) => store.record(row)))]);
    const [labels, splits] = await Promise.all([
      Promise.all(records.map((record) => store.labelsOf(record, shown))),
      Promise.all(records.map((record) => store.splitOf(record))),
    ]);
    const cells = records.map((record, i) => ({
      position: BigInt(request.start) + BigInt(i),
      row: record.row,
      source: sources[record.source].name,
      split: splits[i],
      labels: labels[i],
      counts: record.totalCounts,
      genes: record.nGenes,
    }));
    const [first] = shown;
    const compared =
      first === undefined
        ? undefined
        : await compare(
            store,
            first,
            request.table,
            cells.map(({ labels: own }) => own[first]),
          );
    return { rows, cells, compared, first };
  }, [store, request]);
  return (
    <Awaited of={answer} what="Drawing">
      {({ rows, cells, compared, first }) => (
        <>
          {compared && <Composition label={first} table={request.table} n={cells.length} compared={compared} />}
          <section class="card flush scroll">
            <div class="caption">
              <span>
                {plural(cells.length, "cell")}, {plural(new Set(rows).size, "different one")}
              </span>
              <button type="button" class="link" onClick={() => navigator.clipboard.writeText(JSON.stringify(rows))}>
                Copy the rows
              </button>
            </div>
            <table class="batch" data-rows={JSON.stringify(rows)}>
              <thead>
                <tr>
                  <th class="number">Position</th>
                  <th class="number">Row</th>
                  {shown.map((name) => (
                    <th key={name}>{name}</th>
                  ))}
                  <th>Source</th>
                  {store.manifest.splits && <th>Split</th>}
                  <th class="number">Counts</th>
                  <th class="number">Genes</th>
                </tr>
              </thead>
              <tbody>
                {cells.map((cell) => (
                  <tr key={String(cell.position)} data-row={cell.row}>
                    <td class="number muted">{String(cell.position)}</td>
                    <td class="number">
                      <a href={hrefOf("cells", { row: cell.row })}>{count(cell.row)}</a>
                    </td>
                    {shown.map((name) => (
                      <td key={name}>{cell.labels[name] ?? <span class="muted">none</span>}</td>
                    ))}
                    <td class="muted">{cell.source}</td>
                    {store.manifest.splits && <td class="muted">{cell.split ?? "none"}</td>}
                    <td class="number">{cell.counts < 0 ? "≥ 2³¹" : count(cell.counts)}</td>
                    <td class="number">{cell.genes < 0 ? "≥ 2³¹" : count(cell.genes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        </>
      )}
    </Awaited>
  );
}

interface Compared {
  category: string;
  natural: number;
  expected: number | undefined;
  drawn: number;
}

/** Shares of the categories of a label: of all cells, as the table has them, and as they were drawn. */
async function compare(
  store: Store,
  name: string,
  table: string,
  drawn: readonly (string | null)[],
): Promise<Compared[]> {
  const label = store.label(name);
  const [categories, counts] = await Promise.all([label.categories(), label.counts()]);
  const total = counts.reduce((a, b) => a + b, 0);
  const shares = table === "" ? undefined : (await store.table(table)).sharesOf(name);
  const times = new Map<string | null, number>();
  for (const category of drawn) times.set(category, (times.get(category) ?? 0) + 1);
  return categories
    .map((category, c) => ({
      category,
      natural: total ? counts[c] / total : 0,
      expected: shares?.[c],
      drawn: times.get(category) ?? 0,
    }))
    .sort((a, b) => b.drawn - a.drawn || (b.expected ?? b.natural) - (a.expected ?? a.natural));
}

function Composition({
  label,
  table,
  n,
  compared,
}: {
  label: string;
  table: string;
  n: number;
  compared: readonly Compared[];
}) {
  const [all, setAll] = useState(false);
  const shown = all ? compared : compared.slice(0, 5);
  const largest = Math.max(...compared.map(({ natural, drawn }) => Math.max(natural, drawn / n)));
  return (
    <section class="card flush">
      <div class="caption">
        <span>
          What was drawn, by <strong>{label}</strong>
        </span>
      </div>
      <Legend drawn />
      <table class="categories">
        <thead>
          <tr>
            <th>Category</th>
            <th class="number">Cells</th>
            <th class="bar-column">
              <span class="visually-hidden">Shares</span>
            </th>
            <th class="number">Natural</th>
            {table && <th class="number">Expected</th>}
            <th class="number">Drawn</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ category, natural, expected, drawn }) => (
            <tr key={category}>
              <th scope="row">{category}</th>
              <td class="number">{count(drawn)}</td>
              <td class="bar-column">
                <Bars natural={natural} weighted={drawn / n} largest={largest} scale="linear" />
              </td>
              <td class="number">{percent(natural)}</td>
              {table && <td class="number">{percent(expected ?? 0)}</td>}
              <td class="number strong">{percent(drawn / n)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < compared.length && (
        <button type="button" class="link more" onClick={() => setAll(true)}>
          Show all {count(compared.length)}
        </button>
      )}
    </section>
  );
}
