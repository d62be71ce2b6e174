import type { ComponentChildren } from "preact";

export function Field({
  label,
  children,
  class: name = "",
}: {
  label: string;
  children: ComponentChildren;
  class?: string;
}) {
  return (
    <label class={`field ${name}`}>
      <span>{label}</span>
      {children}
    </label>
  );
}
