const UNITS = [
  ['GB', 1e9],
  ['MB', 1e6],
  ['KB', 1e3],
] as const;

/** Bytes for people, as hubs and disks count them. */
export function shortSize(bytes: number): string {
  const [name, unit] = UNITS.find(([, size]) => bytes >= size) ?? ['B', 1];
  const value = bytes / unit;
  return `${unit === 1 || value >= 100 ? Math.round(value) : value.toPrecision(2)} ${name}`;
}
