interface Props<T extends string> {
  legend: string;
  name: string;
  options: readonly (T | { value: T; label: string })[];
  value: T;
  onChange: (value: T) => void;
}

export function Segmented<T extends string>({ legend, name, options, value, onChange }: Props<T>) {
  return (
    <fieldset class="segmented">
      <legend>{legend}</legend>
      {options.map((option) => {
        const own = typeof option === "string" ? { value: option, label: option } : option;
        return (
          <label key={own.value}>
            <input
              type="radio"
              name={name}
              value={own.value}
              checked={own.value === value}
              onChange={() => onChange(own.value)}
            />
            <span>{own.label}</span>
          </label>
        );
      })}
    </fieldset>
  );
}
