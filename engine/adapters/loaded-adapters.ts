import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { AdapterInfo, AdapterRef } from '../protocol/options.js';
import { AdapterStack } from './adapter-stack.js';
import { type AdaptableModel, type PlacedUpdate, placeAdapter } from './place-adapter.js';
import { readAdapter } from './read-adapter.js';

export interface AdapterOptions {
  /** Most contents in memory at one time. */
  readonly maxLoras: number;
  readonly maxRank: number;
  /** Path of the model. */
  readonly modelDir: string;
  readonly onWarning: (line: string) => void;
}

/**
 * The adapters of an engine, by name. Two names may stand for one content, which is then there
 * once. An adapter that is unloaded is gone for new requests; its matrices stay until the last
 * request with them has ended.
 */
export class LoadedAdapters {
  readonly stack: AdapterStack;
  readonly #model: AdaptableModel;
  readonly #options: AdapterOptions;
  readonly #byName = new Map<string, AdapterInfo>();
  /** Contents in memory. */
  readonly #contents = new Set<string>();

  constructor(model: AdaptableModel, options: AdapterOptions) {
    this.#model = model;
    this.#options = options;
    this.stack = new AdapterStack(model.adapterTargets);
  }

  get list(): readonly AdapterInfo[] {
    return [...this.#byName.values()];
  }

  /** @throws OctavoError `model_not_found` */
  get(name: string): AdapterRef {
    const found = this.#byName.get(name);
    if (found) return { name, contentHash: found.contentHash };
    throw new OctavoError('model_not_found', `the adapter '${clip(name)}' is not loaded`, {
      param: 'model',
    });
  }

  /**
   * One call at a time. Steps may run meanwhile: they keep the matrices with which they began.
   *
   * @param inPlace whether it takes the place of an adapter of this name
   * @throws OctavoError `adapter_exists`, `adapters_full`, `adapter_invalid`
   */
  async load(name: string, directory: string, inPlace = false): Promise<AdapterInfo> {
    const known = this.#byName.get(name);
    if (known && !inPlace) {
      throw new OctavoError(
        'adapter_exists',
        `the adapter '${clip(name)}' is loaded already, from ${known.directory}; unload it, or load it with load_inplace`,
        { param: 'lora_name' },
      );
    }
    const adapter = await readAdapter(directory, this.#options.maxRank);
    const placed = placeAdapter(adapter, this.#model);
    const { contentHash, baseModel, rank } = adapter;
    if (!this.#contents.has(contentHash)) {
      this.#assertRoom(name, known);
      this.stack.add(contentHash, rank, placed);
      this.#contents.add(contentHash);
    }
    this.#warnOfOtherBase(name, baseModel);
    const info = { name, contentHash, directory, baseModel, rank, bytes: bytesOf(placed) };
    this.#byName.set(name, info);
    return info;
  }

  /** @throws OctavoError `adapter_not_found` */
  unload(name: string): void {
    if (this.#byName.delete(name)) return;
    throw new OctavoError('adapter_not_found', `the adapter '${clip(name)}' is not loaded`, {
      param: 'lora_name',
    });
  }

  /** Frees the contents that have neither a name nor a request. @param inUse those of requests */
  settle(inUse: () => ReadonlySet<string>): void {
    const named = new Set(this.list.map(({ contentHash }) => contentHash));
    const nameless = [...this.#contents].filter((content) => !named.has(content));
    if (nameless.length === 0) return;
    const used = inUse();
    for (const content of nameless) {
      if (used.has(content)) continue;
      this.stack.remove(content);
      this.#contents.delete(content);
    }
  }

  /** Its weights fit, so that only names tell: a model may be called otherwise on this machine. */
  #warnOfOtherBase(name: string, base: string | null): void {
    const { modelDir, onWarning } = this.#options;
    const own = base?.split('/').at(-1)?.toLowerCase();
    if (!own || modelDir.toLowerCase().includes(own)) return;
    onWarning(`the adapter ${clip(name)} was made for ${clip(base ?? '')}; served is ${modelDir}`);
  }

  #assertRoom(name: string, replaced: AdapterInfo | undefined): void {
    const { maxLoras } = this.#options;
    // One that is replaced goes as soon as its requests have ended.
    if (this.#contents.size - (replaced ? 1 : 0) < maxLoras) return;
    const leaving = this.#contents.size - new Set(this.list.map((info) => info.contentHash)).size;
    const waiting = leaving > 0 ? `, ${leaving} of them for requests that still run` : '';
    throw new OctavoError(
      'adapters_full',
      `the adapter '${clip(name)}' has no room: ${this.#contents.size} are loaded${waiting}; unload one, or raise --max-loras`,
    );
  }
}

function bytesOf(placed: ReadonlyMap<number, PlacedUpdate>): number {
  return [...placed.values()].reduce(
    (sum, { first, second }) => sum + first.byteLength + second.byteLength,
    0,
  );
}
