import type { ComponentChildren } from "preact";

import type { Pending } from "../async";
import { ErrorLine } from "./error-line";

interface Props<T> {
  of: Pending<T>;
  children: (value: T) => ComponentChildren;
  what?: string;
}

/** What was asked for: the value, the error, or that it is on its way. An older value stays while a newer one comes. */
export function Awaited<T>({ of, children, what = "Reading" }: Props<T>) {
  if (of.error !== undefined) return <ErrorLine error={of.error} />;
  if (of.value === undefined) return <p class="busy">{what}…</p>;
  return <div class={of.busy ? "stale" : undefined}>{children(of.value)}</div>;
}
