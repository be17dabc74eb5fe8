/**
 * Where a browser and a client find the server: for people who watch the start.
 *
 * @param url as it listens, e.g. `http://0.0.0.0:8000`
 */
export function addresses(url: string): string {
  const { port, hostname } = new URL(url);
  // All addresses of the machine: this one works in its own browser.
  const isAny = hostname === '0.0.0.0' || hostname === '[::]';
  const base = isAny ? `http://localhost:${port}` : url;
  return [
    'octavo: open',
    `    chat       ${base}/`,
    `    dashboard  ${base}/dashboard`,
    `    API        ${base}/v1 (described at ${base}/docs)`,
  ].join('\n');
}
