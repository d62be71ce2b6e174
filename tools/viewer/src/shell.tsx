// The frame of an open store: navigation at the side, a view beside it.

import type { Store } from "@scformat/reader";
import { useEffect, useRef } from "preact/hooks";

import { Mark } from "./opening";
import { ThemeSwitch } from "./parts/theme-switch";
import { type View, VIEWS, hrefOf, useRoute } from "./route";
import { CellsView } from "./views/cells";
import { DrawView } from "./views/draw";
import { GenesView } from "./views/genes";
import { LabelsView } from "./views/labels";
import { OntologyView } from "./views/ontology";
import { OverviewView } from "./views/overview";
import { SourcesView } from "./views/sources";

export interface ViewProps {
  store: Store;
  params: URLSearchParams;
}

const PAGES: Record<View, { title: string; Page: (props: ViewProps) => preact.JSX.Element }> = {
  overview: { title: "Overview", Page: OverviewView },
  sources: { title: "Sources", Page: SourcesView },
  labels: { title: "Labels", Page: LabelsView },
  ontology: { title: "Ontology", Page: OntologyView },
  genes: { title: "Genes", Page: GenesView },
  draw: { title: "Draw", Page: DrawView },
  cells: { title: "Cells", Page: CellsView },
};

interface Props {
  store: Store;
  name: string;
  from: string;
  onClose: () => void;
}

export function Shell({ store, name, from, onClose }: Props) {
  const { view, params } = useRoute();
  const { Page } = PAGES[view];
  const main = useRef<HTMLElement>(null);
  useEffect(() => main.current?.scrollTo?.(0, 0), [view]);

  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <aside class="side">
        <div class="brand">
          <Mark />
          <div>
            <div class="store-name" title={from}>
              {name}
            </div>
            <button type="button" class="link" onClick={onClose}>
              Open another
            </button>
          </div>
        </div>
        <nav aria-label="Views">
          {VIEWS.map((other) => (
            <a key={other} href={hrefOf(other)} aria-current={other === view ? "page" : undefined}>
              {PAGES[other].title}
              <Size store={store} view={other} />
            </a>
          ))}
        </nav>
        <ThemeSwitch />
      </aside>
      <main id="main" ref={main} tabIndex={-1} data-view={view}>
        <Page store={store} params={params} />
      </main>
    </div>
  );
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function Size({ store, view }: { store: Store; view: View }) {
  const { manifest } = store;
  const sizes: Partial<Record<View, number>> = {
    sources: manifest.parts.reduce((n, part) => n + part.sources.n, 0),
    labels: manifest.labels.length,
    ontology: manifest.labels.filter((label) => label.ontology).length,
    genes: manifest.genes.n,
    draw: manifest.tables.length,
    cells: manifest.n_cells,
  };
  const size = sizes[view];
  return !size ? null : <span class="size">{compact.format(size)}</span>;
}
