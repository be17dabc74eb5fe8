import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Golden, readGoldenFile } from './export-fixtures.js';

const CHECKPOINTS = fileURLToPath(new URL('../fixtures/checkpoints', import.meta.url));

/** Names of the checkpoints that test/fixtures/checkpoints/make.py has made. */
export function checkpointNames(): string[] {
  const names = readdirSync(CHECKPOINTS);
  return names.filter((name) => statSync(join(CHECKPOINTS, name)).isDirectory()).sort();
}

export function checkpointDir(name: string): string {
  return join(CHECKPOINTS, name);
}

/** What transformers says about a checkpoint, in float32. */
export function checkpointGolden(name: string): Golden {
  return readGoldenFile(join(CHECKPOINTS, name, 'golden.json'));
}
