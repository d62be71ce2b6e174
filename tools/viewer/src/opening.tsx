// The first page: a URL, or a folder of this computer.

import { FilesPlace, FolderPlace, HttpPlace, StoreError, draw, openStore } from "@scformat/reader";
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";

import type { Opened } from "./app";

type Place = Parameters<typeof openStore>[0];

async function openPlace(place: Place, from: string): Promise<Opened> {
  const store = await openStore(place);
  window.scformat = { store, draw };
  return { store, from };
}

export async function openStoreAt(given: string): Promise<Opened> {
  let url: URL;
  try {
    url = new URL(given, location.href);
  } catch {
    throw new StoreError("usage", `${JSON.stringify(given)} is no URL`);
  }
  const opened = await openPlace(new HttpPlace(url), url.href);
  const here = new URL(location.href);
  if (here.searchParams.get("store") !== given) {
    here.searchParams.set("store", given);
    history.pushState(null, "", here);
  }
  return opened;
}

interface Props {
  busy: boolean;
  open: (ask: () => Promise<Opened>) => Promise<void>;
  children: ComponentChildren;
}

export function Opening({ busy, open, children }: Props) {
  const [url, setUrl] = useState(new URLSearchParams(location.search).get("store") ?? "");
  const [over, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);

  const chooseFolder = async () => {
    if (!("showDirectoryPicker" in window)) {
      files.current?.click();
      return;
    }
    let handle: FileSystemDirectoryHandle;
    try {
      handle = await (window.showDirectoryPicker as () => Promise<FileSystemDirectoryHandle>)();
    } catch {
      return; // the person closed the dialogue
    }
    await open(() => openPlace(new FolderPlace(handle), handle.name));
  };

  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [item] = event.dataTransfer?.items ?? [];
    const handle = await (
      item as unknown as { getAsFileSystemHandle?: () => Promise<FileSystemHandle | null> }
    )?.getAsFileSystemHandle?.();
    if (handle?.kind !== "directory") return;
    await open(() => openPlace(new FolderPlace(handle as FileSystemDirectoryHandle), handle.name));
  };

  return (
    <main
      class={`opening${over ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Mark />
      <h1>What is in a cell store?</h1>
      <p class="lead">
        Sizes, sources, labels and their ontologies, genes, sampling tables, and any cell of it. Nothing is uploaded:
        the page reads the parts of the store that it shows.
      </p>
      <form
        class="open-url"
        onSubmit={(event) => {
          event.preventDefault();
          void open(() => openStoreAt(url.trim()));
        }}
      >
        <label for="url">URL of a store</label>
        <div class="row">
          <input
            id="url"
            name="url"
            type="text"
            inputMode="url"
            spellcheck={false}
            autoFocus
            required
            placeholder="https://example.org/atlas.cells"
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
          <button type="submit" class="primary" disabled={busy}>
            {busy ? "Opening…" : "Open"}
          </button>
        </div>
      </form>
      {children}
      <div class="or">
        <span>or</span>
      </div>
      <button type="button" class="quiet" onClick={chooseFolder} disabled={busy}>
        Choose a folder of this computer
      </button>
      <p class="hint">A folder can also be dropped here.</p>
      <input
        ref={files}
        id="files"
        type="file"
        hidden
        multiple
        {...{ webkitdirectory: true }}
        onChange={(event) => {
          const chosen = [...(event.currentTarget.files ?? [])];
          if (chosen.length === 0) return;
          const place = new FilesPlace(chosen);
          void open(() => openPlace(place, place.name));
        }}
      />
    </main>
  );
}

/** Cells: a drawn mark. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 48 48" aria-hidden="true">
      <circle cx="16" cy="19" r="11" class="a" />
      <circle cx="34" cy="15" r="7" class="b" />
      <circle cx="31" cy="35" r="9" class="c" />
      <circle cx="14" cy="20" r="3.4" class="n" />
      <circle cx="35" cy="15" r="2.2" class="n" />
      <circle cx="32" cy="36" r="2.8" class="n" />
    </svg>
  );
}
