import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Creates a directory and its parents. Node's own `recursive` never returns where the system
 * answers ENOENT for a parent that exists, as /proc does.
 */
export async function makeDirectory(path: string): Promise<void> {
  const parent = dirname(path);
  const exists = await stat(parent).catch(() => null);
  if (!exists && parent !== path) await makeDirectory(parent);
  await mkdir(path).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  });
}
