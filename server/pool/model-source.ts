import type { FoundModel } from '../../engine/hub/find-model.js';
import type { ModelParts } from '../models.js';

/** A loaded model that the server closes when it unloads it. */
export interface OwnedParts extends ModelParts {
  /** Memory that the weights and the KV cache take. */
  readonly bytes: number;
  /** Ends its threads and gives back its memory; no request of it runs any more. */
  close(): Promise<void>;
}

/** A model that the server loads when it is asked for, and unloads when it is not. */
export interface ModelSource {
  /** Names by which requests may ask for it; answers, metrics and logs use the first. */
  readonly names: readonly [string, ...string[]];
  /** Directories of it: clients are not told them. */
  readonly places: () => readonly string[];
  /** Loaded already when the server starts; absent: the first request has it loaded. */
  readonly loaded?: OwnedParts;
  /**
   * The memory that it will take, and its place on the disk. Fetches the model when it is the
   * hub's and not here yet.
   *
   * @throws OctavoError what is wrong with the model's files
   */
  measure(onProgress?: DownloadProgress): Promise<ModelSize>;
  /** Its place on the disk; null when it is not here yet. */
  known(): Promise<Pick<FoundModel, 'dir' | 'file'> | null>;
  /** Deletes its files; absent for those that are not the server's to delete. */
  remove?(): Promise<void>;
  /** @throws OctavoError why it cannot be loaded */
  load(): Promise<OwnedParts>;
}

/** Bytes of a file so far, and in total. */
export type DownloadProgress = (file: string, done: number, total: number) => void;

export interface ModelSize {
  /** Memory of weights and KV cache, by the sizes of the files. */
  readonly bytes: number;
  /** Directory or file. */
  readonly path: string;
}
