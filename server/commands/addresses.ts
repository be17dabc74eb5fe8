/**
 * Addresses of the page and the API, shown on the terminal at the start.
 *
 * @param url as it listens, e.g. `http://0.0.0.0:8000`
 */
export function addresses(url: string): string {
  const { port, hostname } = new URL(url);
  // When the server listens on all addresses, this one works in the machine's own browser.
  const isAny = hostname === '0.0.0.0' || hostname === '[::]';
  const base = isAny ? `http://localhost:${port}` : url;
  return [
    'octavo: open',
    `    chat       ${base}/`,
    `    dashboard  ${base}/dashboard`,
    `    API        ${base}/v1 (described at ${base}/docs)`,
  ].join('\n');
}
