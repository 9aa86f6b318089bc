/** Numbers and names as the sidebar writes them. */
import type { Metric } from '../records';

/** Write a metric with four significant digits; text and nothing stay what they are. */
export function formatMetric(value: Metric | undefined): string {
  if (value === null || value === undefined) {
    return 'NaN';
  }
  if (typeof value === 'string' || Number.isInteger(value)) {
    return String(value);
  }
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(4)));
}

/** Write a duration given in seconds. */
export function formatSeconds(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) {
    return '';
  }
  if (seconds < 10) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes === 0) {
    return `${whole} s`;
  }
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Write a size given in bytes. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) {
    return '';
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toPrecision(3)} ${units[unit]}`;
}

/** Write how long ago something was, in a word or two. */
export function formatAgo(then: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(then)) / 1000);
  if (Number.isNaN(seconds)) {
    return then;
  }
  const steps: [number, string][] = [
    [60, 's'],
    [60, 'min'],
    [24, 'h'],
    [365, 'd']
  ];
  let amount = seconds;
  for (const [size, unit] of steps) {
    if (amount < size) {
      return unit === 's' ? 'just now' : `${Math.floor(amount)} ${unit} ago`;
    }
    amount /= size;
  }
  return new Date(then).toLocaleDateString();
}

/** Shorten a hexadecimal id to what people compare by eye, keeping what stands before a colon. */
export function shortId(id: string): string {
  const start = id.lastIndexOf(':') + 1;
  return id.length - start > 12 ? id.slice(0, start + 8) : id;
}

/** Write a count with its noun. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
