import { StoreError, lineOf } from "@scformat/reader";

/** The reader's one line. */
export function ErrorLine({ error }: { error: unknown }) {
  return (
    <p class="error" role="alert">
      <span>{lineOf(error)}</span>
      {error instanceof StoreError && <code>{error.code}</code>}
    </p>
  );
}
