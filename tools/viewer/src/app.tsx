import type { Store } from "@scformat/reader";
import { useCallback, useEffect, useState } from "preact/hooks";

import { Opening, openStoreAt } from "./opening";
import { ErrorLine } from "./parts/error-line";
import { Shell } from "./shell";

export interface Opened {
  store: Store;
  /** As it was given: a URL, or the name of a folder. */
  from: string;
}

declare global {
  interface Window {
    /** For the console, and for the tests: the open store and the function that draws. */
    scformat?: { store: Store; draw: typeof import("@scformat/reader").draw };
  }
}

export function App() {
  const [opened, setOpened] = useState<Opened>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);

  const open = useCallback(async (ask: () => Promise<Opened>) => {
    setBusy(true);
    setError(undefined);
    try {
      setOpened(await ask());
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }, []);

  const close = useCallback(() => {
    history.pushState(null, "", location.pathname);
    window.scformat = undefined;
    setOpened(undefined);
  }, []);

  useEffect(() => {
    const url = new URLSearchParams(location.search).get("store");
    if (url) void open(() => openStoreAt(url));
  }, [open]);

  useEffect(() => {
    document.title = opened ? `${nameOf(opened.from)} · cell store` : "Cell store";
  }, [opened]);

  if (opened) return <Shell store={opened.store} name={nameOf(opened.from)} from={opened.from} onClose={close} />;
  return (
    <Opening busy={busy} open={open}>
      {error !== undefined && <ErrorLine error={error} />}
    </Opening>
  );
}

export function nameOf(from: string): string {
  return (
    from
      .replace(/\/(zarr\.json)?$/, "")
      .split("/")
      .pop() || from
  );
}
