import { useState } from "preact/hooks";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function ThemeSwitch() {
  const [theme, setTheme] = useState<Theme>((localStorage.getItem("theme") as Theme | null) ?? "auto");
  const choose = (next: Theme) => {
    setTheme(next);
    if (next === "auto") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", next);
      document.documentElement.dataset.theme = next;
    }
  };
  return (
    <fieldset class="segmented theme">
      <legend>Theme</legend>
      {THEMES.map((other) => (
        <label key={other}>
          <input type="radio" name="theme" checked={theme === other} onChange={() => choose(other)} />
          <span>{other}</span>
        </label>
      ))}
    </fieldset>
  );
}
