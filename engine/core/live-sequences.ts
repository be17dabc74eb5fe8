import type { SequenceId } from '../../scheduler/ids.js';
import type { LoadedAdapters } from '../adapters/loaded-adapters.js';
import { OctavoError } from '../errors.js';
import type { AdapterInfo, AdapterRef } from '../protocol/options.js';
import type { PromptImage } from '../protocol/prompt-image.js';
import type { AdapterUse } from '../protocol/reports.js';
import type { ImageStore } from './image-store.js';
import { forkOf, type LiveSequence } from './live-sequence.js';

/** What the core needs of adapters. */
export type AdapterStore = Pick<LoadedAdapters, 'list' | 'get' | 'load' | 'unload' | 'settle'>;

export interface SequenceHoldings {
  /** Those that requests may name; absent: none. */
  readonly adapters?: AdapterStore;
  /** Where the runner finds the images of sequences; absent for a model that takes none. */
  readonly images?: ImageStore;
}

/**
 * The sequences that are alive, with what they hold outside of the cache until they end: samplers
 * with their constraints, images, and adapters.
 */
export class LiveSequences {
  readonly #holdings: SequenceHoldings;
  readonly #live = new Map<SequenceId, LiveSequence>();

  constructor(holdings: SequenceHoldings) {
    this.#holdings = holdings;
  }

  get size(): number {
    return this.#live.size;
  }

  get ids(): SequenceId[] {
    return [...this.#live.keys()];
  }

  /** Those that requests may name; null for an engine that takes none. */
  get adapters(): readonly AdapterInfo[] | null {
    return this.#holdings.adapters?.list ?? null;
  }

  /** Which adapters sequences that run have, and which those that wait. */
  get adapterUse(): AdapterUse {
    const [running, waiting] = [new Set<string>(), new Set<string>()];
    for (const { adapter, times } of this.#live.values()) {
      if (adapter) (times.hasBegun ? running : waiting).add(adapter.name);
    }
    return { running: [...running], waiting: [...waiting] };
  }

  add(id: SequenceId, sequence: LiveSequence): void {
    this.#hold(sequence.images);
    this.#live.set(id, sequence);
  }

  /** Adds a sequence that continues another one. */
  fork(id: SequenceId, parent: SequenceId): void {
    this.add(id, forkOf(this.find(parent)));
  }

  has(id: SequenceId): boolean {
    return this.#live.has(id);
  }

  find(id: SequenceId): LiveSequence {
    const sequence = this.#live.get(id);
    if (!sequence) throw new Error(`${id} is not alive`);
    return sequence;
  }

  /** Lets go of what it holds. Unknown ids are ignored. */
  forget(id: SequenceId): void {
    const live = this.#live.get(id);
    if (!live) return;
    live.sampler.dispose();
    if (live.images.length > 0) this.#holdings.images?.release(live.images);
    this.#live.delete(id);
    if (live.adapter) this.#settleAdapters();
  }

  /** @throws OctavoError `model_not_found` */
  adapterOf(name: string | null): AdapterRef | null {
    return name === null ? null : this.#assertAdapters().get(name);
  }

  /** @throws OctavoError `usage` for an engine that takes none, and see `LoadedAdapters.load` */
  async loadAdapter(name: string, directory: string, inPlace: boolean): Promise<void> {
    await this.#assertAdapters().load(name, directory, inPlace);
    this.#settleAdapters();
  }

  /** @throws OctavoError `adapter_not_found` */
  unloadAdapter(name: string): void {
    this.#assertAdapters().unload(name);
    this.#settleAdapters();
  }

  #assertAdapters(): AdapterStore {
    const { adapters } = this.#holdings;
    if (adapters) return adapters;
    throw new OctavoError('usage', 'the engine takes no adapters; it was started without --lora');
  }

  /** Frees adapters that were unloaded and whose requests have ended. */
  #settleAdapters(): void {
    this.#holdings.adapters?.settle(
      () => new Set([...this.#live.values()].flatMap(({ adapter }) => adapter?.contentHash ?? [])),
    );
  }

  #hold(images: readonly PromptImage[]): void {
    if (images.length === 0) return;
    const { images: store } = this.#holdings;
    if (!store) throw new Error('a request has images, and the model takes none');
    store.hold(images);
  }
}
