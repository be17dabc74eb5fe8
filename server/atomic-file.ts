import { open, rename, rm } from 'node:fs/promises';

/**
 * Replaces a file as a whole: whatever breaks in between, it has its old content or all of the new.
 * Only its owner may read it.
 *
 * @throws the system's error, and leaves the old file as it was
 */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    const file = await open(partial, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
