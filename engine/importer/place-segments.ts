import { link, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { OctavoError } from '../errors.js';
import type { Graph } from './graph.js';
import { externalRange, isExternal } from './tensor-data.js';

/** Segments where ONNX Runtime can open them. */
export interface PlacedSegments {
  /** Bytes of a model, or the path of one. */
  readonly models: readonly (Uint8Array | string)[];
  /** Where ONNX Runtime finds the external data of models that are bytes. */
  readonly weightsDir: string | null;
  /** Removes temporary files. Sessions that exist by then do not need them. */
  release(): Promise<void>;
}

/**
 * Models stay in memory; ONNX Runtime is told the directory of their external data. It refuses symbolic links that leave that directory, as
 * they stand in the hub's cache ("escapes model directory", measured with 1.30), but takes hard links: then segments go into a
 * temporary directory with hard links to the data files. No weight is copied.
 *
 * @param cacheDir where to make that directory; without it, the system's temporary directory
 * @throws OctavoError `model_file_corrupt` for external data that is missing, too short or outside the model's directory
 */
export async function placeSegments(
  graph: Graph,
  models: readonly Uint8Array[],
  cacheDir?: string,
): Promise<PlacedSegments> {
  const external = graph.allInitializers().filter(isExternal);
  const files = new Set(external.map((tensor) => externalRange(tensor, graph.file).file));
  const modelDir = dirname(resolve(graph.file));
  if (!(await anyLeaves([...files], modelDir))) {
    const weightsDir = files.size > 0 ? modelDir : null;
    return { models, weightsDir, release: () => Promise.resolve() };
  }
  const directory = await linkAll([...files], modelDir, cacheDir ?? tmpdir());
  const release = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const paths = models.map((_, index) => join(directory, `segment-${index}.onnx`));
  try {
    await Promise.all(models.map((bytes, index) => writeFile(paths[index], bytes)));
  } catch (error) {
    await release();
    throw error;
  }
  return { models: paths, weightsDir: null, release };
}

/** Whether a file is a symbolic link, or lies behind one, that leads out of the model's directory. */
async function anyLeaves(files: readonly string[], modelDir: string): Promise<boolean> {
  const real = await realpath(modelDir);
  const inside = await Promise.all(
    files.map(async (file) => (await realpath(file)).startsWith(join(real, sep))),
  );
  return inside.includes(false);
}

/** Hard links need one file system: the wanted directory's if it is the weights' own, else there is the model's directory. */
async function linkAll(
  files: readonly string[],
  modelDir: string,
  wanted: string,
): Promise<string> {
  const failures: string[] = [];
  for (const parent of [wanted, modelDir]) {
    let directory: string | null = null;
    try {
      directory = await mkdtemp(join(parent, '.octavo-segments-'));
      for (const file of files) {
        const place = join(directory, relative(modelDir, file));
        await mkdir(dirname(place), { recursive: true });
        // The hub's cache keeps files as symbolic links into its blobs.
        await link(await realpath(file), place);
      }
      return directory;
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
      if (directory) await rm(directory, { recursive: true, force: true });
    }
  }
  throw new OctavoError(
    'model_file_corrupt',
    `${modelDir}: the weights cannot be linked into a temporary directory (TMPDIR on the same file system, or a directory of ` +
      `one's own that can be written, would do): ${failures.join('; ')}`,
  );
}
