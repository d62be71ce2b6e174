// Where one is in the page: #/view/name?key=value. A link keeps the view, what was chosen in it, and the table.

import { useEffect, useState } from "preact/hooks";

export const VIEWS = ["overview", "sources", "labels", "ontology", "genes", "draw", "cells"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  params: URLSearchParams;
}

function read(): Route {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const view = VIEWS.find((name) => name === path) ?? "overview";
  return { view, params: new URLSearchParams(query) };
}

export function hrefOf(view: View, params: Record<string, string | number | undefined> = {}): string {
  const given = Object.entries(params).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/** Go somewhere; `replace` leaves no step in the history, for what is typed letter by letter. */
export function go(href: string, { replace = false } = {}): void {
  if (replace) {
    history.replaceState(null, "", href);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = href;
  }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const follow = () => setRoute(read());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
