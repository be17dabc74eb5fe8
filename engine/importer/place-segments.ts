import { link, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { OctavoError } from '../errors.js';
import type { Graph } from './graph.js';
import { externalRange, isExternal } from './tensor-data.js';

/** Segments where ONNX Runtime can open them. */
export interface PlacedSegments {
  /** Bytes of a model, or the path of one. */
  readonly models: readonly (Uint8Array | string)[];
  /** Removes temporary files. Sessions that exist by then do not need them. */
  release(): Promise<void>;
}

/**
 * Models whose weights are inline stay in memory. Otherwise ONNX Runtime must find the external data beside the segment: it refuses
 * absolute paths, paths that leave the model's directory, and symbolic links that do ("escapes model directory", measured with
 * 1.30), but takes hard links. So segments go into a temporary directory with hard links to the data files: no weight is copied.
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
  if (external.length === 0) return { models, release: () => Promise.resolve() };
  const files = new Set(external.map((tensor) => externalRange(tensor, graph.file).file));
  const directory = await linkAll([...files], dirname(resolve(graph.file)), cacheDir ?? tmpdir());
  const release = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const paths = models.map((_, index) => join(directory, `segment-${index}.onnx`));
  try {
    await Promise.all(models.map((bytes, index) => writeFile(paths[index], bytes)));
  } catch (error) {
    await release();
    throw error;
  }
  return { models: paths, release };
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
