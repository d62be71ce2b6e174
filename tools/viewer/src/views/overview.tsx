import { Awaited } from "../parts/awaited";
import { ErrorLine } from "../parts/error-line";
import { useAsync } from "../async";
import { count, figure, percent, plural, short } from "../format";
import { hrefOf } from "../route";
import type { ViewProps } from "../shell";

export function OverviewView({ store }: ViewProps) {
  const { manifest } = store;
  const sources = useAsync(() => store.sources(), [store]);
  const nSources = manifest.parts.reduce((n, part) => n + part.sources.n, 0);
  return (
    <>
      <header class="head">
        <h1>Overview</h1>
        <p class="lead">
          {plural(manifest.n_cells, "cell")} of {plural(nSources, "source")} in {plural(manifest.genes.n, "gene")}.
        </p>
      </header>
      {sources.error !== undefined && <ErrorLine error={sources.error} />}
      <dl class="figures">
        <Figure name="Cells" value={manifest.n_cells} />
        <Figure name="Genes" value={manifest.genes.n} />
        <Figure name="Entries" value={manifest.n_entries} />
        <Figure name="Sources" value={nSources} />
        <Figure name="Labels" value={manifest.labels.length} />
        <Figure name="Tables" value={manifest.tables.length} />
      </dl>
      <div class="columns">
        <section class="card">
          <h2>Cells</h2>
          <Awaited of={sources}>{(records) => <PerCell records={records} nCells={manifest.n_cells} />}</Awaited>
          {manifest.splits && <Splits splits={manifest.splits} nCells={manifest.n_cells} />}
        </section>
        <section class="card">
          <h2>Genes</h2>
          <Stack
            parts={manifest.genes.organisms.map(({ name, n_genes: n, taxon }) => ({
              name: taxon === 0 ? "organism unknown" : name,
              n,
            }))}
            total={manifest.genes.n}
          />
          <dl class="facts">
            <dt>Chosen by</dt>
            <dd>{manifest.genes.mode}</dd>
            {manifest.genes.organisms
              .filter(({ reference }) => reference)
              .map(({ name, reference }) => (
                <Fact key={name} name={name} value={reference!} />
              ))}
            <Fact name="Index digest" value={manifest.genes.index_digest} code />
          </dl>
        </section>
      </div>
      {manifest.tables.length > 0 && <Tables store={store} />}
      <section class="card">
        <h2>The store</h2>
        <dl class="facts wide">
          <Fact name="Digest" value={manifest.sha256} code />
          <Fact name="Format" value={`${manifest.format} ${manifest.version}`} />
          <Fact
            name="Features"
            value={[...manifest.required_features, ...manifest.optional_features].join(", ") || "none"}
          />
          <Fact name="Written by" value={manifest.generator} />
          <Fact name="Seed" value={String(manifest.seed)} />
          {manifest.parts.map((part, i) => (
            <Fact
              key={i}
              name={manifest.parts.length === 1 ? "Part" : `Part ${i + 1}`}
              value={`${plural(part.n_cells, "cell")}, ${plural(part.shard_rows.shape[0] - 1, "shard")} of ${count(part.entries.shard[1])} entries, ${orderOf(part.order)}`}
            />
          ))}
        </dl>
      </section>
      {manifest.findings.length > 0 && (
        <details class="card findings">
          <summary>
            <h2>Remarks of the conversion</h2> <span class="muted">{count(manifest.findings.length)}</span>
          </summary>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>Source</th>
                  <th>What</th>
                  <th>Value</th>
                  <th class="number">Cells</th>
                  <th>Note</th>
                </tr>
              </thead>
              <tbody>
                {manifest.findings.map((finding, i) => (
                  <tr key={i}>
                    <td>{finding.source}</td>
                    <td>{finding.what}</td>
                    <td>{finding.value}</td>
                    <td class="number">{finding.cells === undefined ? "" : count(finding.cells)}</td>
                    <td class="muted">{finding.note}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </>
  );
}

function orderOf({ kind, by }: { kind: string; by?: string[] }): string {
  return kind === "stratified"
    ? `stratified by ${by?.join(", ")}`
    : kind === "source"
      ? "in the order of the sources"
      : kind;
}

function Figure({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd data-figure={name.toLowerCase()} data-value={value} title={count(value)}>
        {short(value)}
      </dd>
    </div>
  );
}

function Fact({ name, value, code = false }: { name: string; value: string; code?: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{code ? <code class="digest">{value}</code> : value}</dd>
    </>
  );
}

interface Totals {
  n_nonzero: number;
  total: number;
}

function PerCell({ records, nCells }: { records: readonly Totals[]; nCells: number }) {
  const nonzero = records.reduce((n, record) => n + record.n_nonzero, 0);
  const total = records.reduce((n, record) => n + record.total, 0);
  return (
    <dl class="facts">
      <Fact name="Genes found a cell" value={nCells ? figure(nonzero / nCells) : "none"} />
      <Fact name="Counts a cell" value={nCells ? figure(total / nCells) : "none"} />
      <Fact name="Values above 0" value={count(nonzero)} />
    </dl>
  );
}

function Splits({ splits, nCells }: { splits: NonNullable<ViewProps["store"]["manifest"]["splits"]>; nCells: number }) {
  const inSome = splits.counts.reduce((a, b) => a + b, 0);
  const parts = splits.names.map((name, i) => ({ name, n: splits.counts[i] }));
  if (inSome < nCells) parts.push({ name: "in no split", n: nCells - inSome });
  return (
    <>
      <h3>Splits</h3>
      <Stack parts={parts} total={nCells} />
      <p class="muted small">
        {splits.by.length > 0 ? `By ${splits.by.join(", ")}: groups stay together.` : "Each cell by itself."}
      </p>
    </>
  );
}

function Stack({ parts, total }: { parts: readonly { name: string; n: number }[]; total: number }) {
  return (
    <div class="stack">
      <div class="track" aria-hidden="true">
        {parts.map(({ name, n }) => (
          <i key={name} style={{ flexGrow: total ? n / total : 0 }} title={`${name}: ${count(n)}`} />
        ))}
      </div>
      <ul>
        {parts.map(({ name, n }) => (
          <li key={name}>
            <i aria-hidden="true" />
            <span>{name}</span>
            <strong>{count(n)}</strong>
            <span class="muted">{total ? percent(n / total) : ""}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Tables({ store }: { store: ViewProps["store"] }) {
  return (
    <section class="card">
      <h2>Sampling tables</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Name</th>
              <th>By</th>
              <th>Cells taken</th>
              <th class="number">Cells</th>
              <th class="number">Strata</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {store.manifest.tables.map((table) => (
              <tr key={table.name}>
                <th scope="row">{table.name}</th>
                <td>
                  <code>{table.by}</code>
                </td>
                <td>
                  {[table.split && `split ${table.split}`, table.where].filter(Boolean).join(", ") ||
                    "all that have these"}
                </td>
                <td class="number">{count(table.n_cells)}</td>
                <td class="number">{count(table.n_strata)}</td>
                <td class="number">
                  <a href={hrefOf("draw", { table: table.name })}>Draw from it</a>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
