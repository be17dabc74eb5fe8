/**
 * Addresses of the page and the API, shown on the terminal at the start.
 *
 * @param url as it listens: `http://0.0.0.0:8000`, `unix:/run/octavo.sock`
 */
export function addresses(url: string): string {
  const { port, hostname, protocol, pathname } = new URL(url);
  if (protocol === 'unix:') {
    return `octavo: try\n    curl --unix-socket ${pathname} http://localhost/v1/models`;
  }
  // When the server listens on all addresses, this one works in the machine's own browser.
  const isAny = hostname === '0.0.0.0' || hostname === '[::]';
  const base = isAny ? `${protocol}//localhost:${port}` : url;
  return [
    'octavo: open',
    `    chat       ${base}/`,
    `    dashboard  ${base}/dashboard`,
    `    API        ${base}/v1 (described at ${base}/docs)`,
  ].join('\n');
}
