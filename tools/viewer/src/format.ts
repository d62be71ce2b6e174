const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (n: number): string => whole.format(n);
export const short = (n: number): string => (Math.abs(n) < 10_000_000 ? whole.format(n) : compact.format(n));
export const plural = (n: number, word: string, words = `${word}s`): string => `${count(n)} ${n === 1 ? word : words}`;

/** A share as a percentage: two digits that say something, however small it is. */
export function percent(share: number): string {
  if (share === 0) return "0 %";
  const value = 100 * share;
  if (value < 0.001) return "< 0.001 %";
  const digits = value >= 10 ? 1 : Math.min(3, 1 - Math.floor(Math.log10(value)));
  return `${value.toFixed(digits)} %`;
}

export function figure(value: number): string {
  if (Number.isInteger(value)) return count(value);
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
