import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Golden, readGoldenFile } from './export-fixtures.js';

const CHECKPOINTS = fileURLToPath(new URL('../fixtures/checkpoints', import.meta.url));

/** Names of the checkpoints that test/fixtures/checkpoints/make.py has made. */
export function checkpointNames(): string[] {
  return directoriesIn(CHECKPOINTS);
}

export function checkpointDir(name: string): string {
  return join(CHECKPOINTS, name);
}

/** What transformers says about a checkpoint, in float32. */
export function checkpointGolden(name: string): Golden {
  return readGoldenFile(join(CHECKPOINTS, name, 'golden.json'));
}

const QUANTIZED = fileURLToPath(new URL('../fixtures/quantized', import.meta.url));

/** Names of the checkpoints that test/fixtures/quantized/make.py has made. */
export function quantizedNames(): string[] {
  return directoriesIn(QUANTIZED);
}

export function quantizedDir(name: string): string {
  return join(QUANTIZED, name);
}

/** What transformers says of the floats that a quantized checkpoint means. */
export function quantizedGolden(name: string): Golden {
  return readGoldenFile(join(QUANTIZED, name, 'golden.json'));
}

function directoriesIn(dir: string): string[] {
  const names = readdirSync(dir);
  return names.filter((name) => statSync(join(dir, name)).isDirectory()).sort();
}
