import { useEffect, useState } from "preact/hooks";

export interface Pending<T> {
  value?: T;
  error?: unknown;
  busy: boolean;
}

/** What a function gives for some inputs. An answer that comes after the inputs changed is dropped. */
export function useAsync<T>(ask: () => Promise<T>, inputs: readonly unknown[]): Pending<T> {
  const [state, setState] = useState<Pending<T>>({ busy: true });
  useEffect(() => {
    let current = true;
    setState((before) => ({ value: before.value, busy: true }));
    ask().then(
      (value) => current && setState({ value, busy: false }),
      (error: unknown) => current && setState({ error, busy: false }),
    );
    return () => {
      current = false;
    };
  }, inputs);
  return state;
}
