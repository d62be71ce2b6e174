import type { Store } from "@scformat/reader";

import { Field } from "./field";

interface Props {
  tables: readonly { name: string; by: string; split?: string }[];
  value: string;
  onChange: (name: string) => void;
  none?: string;
}

export function TablePicker({ tables, value, onChange, none }: Props) {
  return (
    <Field label="Table">
      <select name="table" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {none !== undefined && <option value="">{none}</option>}
        {tables.map(({ name }) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </Field>
  );
}

/** Tables that are made by a label. */
export function tablesOf(store: Store, label: string) {
  return store.manifest.tables.filter(({ keys }) => keys.some((key) => key.kind === "label" && key.name === label));
}
