// Two shares above one another: as the cells are, and as a table draws them.

import { percent } from "../format";

export type Scale = "linear" | "log";
const DECADES = 5;

/** Width of a share in a bar, 0 to 1; a logarithmic bar begins five decades below the largest. */
export function widthOf(share: number, largest: number, scale: Scale): number {
  if (share <= 0 || largest <= 0) return 0;
  if (scale === "linear") return share / largest;
  return Math.max(0.004, 1 + Math.log10(share / largest) / DECADES);
}

interface Props {
  natural: number;
  weighted?: number;
  largest: number;
  scale: Scale;
}

export function Bars({ natural, weighted, largest, scale }: Props) {
  const title =
    weighted === undefined
      ? `natural ${percent(natural)}`
      : `natural ${percent(natural)}, weighted ${percent(weighted)}`;
  return (
    <div class="bars" title={title} aria-hidden="true">
      <i class="natural" style={{ width: `${100 * widthOf(natural, largest, scale)}%` }} />
      {weighted !== undefined && (
        <i class="weighted" style={{ width: `${100 * widthOf(weighted, largest, scale)}%` }} />
      )}
    </div>
  );
}

export function Legend({ weighted, drawn = false }: { weighted?: string; drawn?: boolean }) {
  return (
    <ul class="legend">
      <li>
        <i class="natural" /> as the cells are
      </li>
      {weighted && (
        <li>
          <i class="weighted" /> as table <strong>{weighted}</strong> draws them
        </li>
      )}
      {drawn && (
        <li>
          <i class="weighted" /> as they were drawn
        </li>
      )}
    </ul>
  );
}
