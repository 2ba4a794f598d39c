interface Props<T extends string> {
  name: string;
  legend: string;
  values: readonly T[];
  labels: Record<T, { short: string; full: string }>;
  value: T;
  onChange: (value: T) => void;
}

/** A small segmented switch made of radio buttons: arrow keys and screen readers work as everywhere. */
export function Choice<T extends string>({ name, legend, values, labels, value, onChange }: Props<T>) {
  return (
    <fieldset className="choice">
      <legend>{legend}</legend>
      {values.map((one) => (
        <label key={one} title={labels[one].full}>
          <input
            type="radio"
            name={name}
            value={one}
            checked={one === value}
            aria-label={labels[one].full}
            onChange={() => {
              onChange(one);
            }}
          />
          <span aria-hidden="true">{labels[one].short}</span>
        </label>
      ))}
    </fieldset>
  );
}
