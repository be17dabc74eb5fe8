import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** Installs the peers for Node, once. */
export function installPeers(): void {
  if (existsSync(`${HERE}/node_modules/node-llama-cpp`)) return;
  process.stderr.write('installing the peers into bench/peers/node_modules (about 1.2 GB)\n');
  // Their install scripts fetch binaries that the CPU does not need. (`npm ci` would insist on the
  // packages of all platforms, and not every registry has them.)
  execFileSync('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: HERE,
    stdio: 'inherit',
  });
}

/** @returns name and version of a peer */
export function versionOf(name: string): string {
  const text = readFileSync(`${HERE}/node_modules/${name}/package.json`, 'utf8');
  return `${name} ${(JSON.parse(text) as { version: string }).version}`;
}
