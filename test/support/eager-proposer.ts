import type { Proposer } from '../../engine/decoding/proposer.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import type { ComputedDrafter, ComputingDrafter } from '../../engine/speculation/drafter.js';
import { draftedSequence } from '../../engine/speculation/speculator.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

/** Proposes all that a drafter can compute, whether it pays or not. */
export class EagerProposer implements Proposer {
  readonly #drafter: ComputingDrafter;
  readonly #length: number;
  readonly #sequences = new Map<SequenceId, ComputedDrafter>();
  readonly #known = new Map<SequenceId, TokenId[]>();
  /** Each draft, by the text before it. */
  readonly drafts = new Map<string, readonly TokenId[]>();
  /** Drafted tokens, and those that were right, by their places. */
  readonly tried: number[];
  readonly right: number[];

  /** @param length of every draft */
  constructor(drafter: ComputingDrafter, length: number) {
    this.#drafter = drafter;
    this.#length = length;
    this.tried = Array.from({ length }, () => 0);
    this.right = Array.from({ length }, () => 0);
  }

  readonly stats = null;

  readonly prepare = async (decoding: readonly SequenceId[]): Promise<void> => {
    const lengths = new Map<ComputedDrafter, number>();
    for (const id of decoding) {
      const sequence = this.#sequences.get(id);
      if (sequence) lengths.set(sequence, Math.min(sequence.room, this.#length));
    }
    await this.#drafter.compute(lengths);
    for (const id of decoding) {
      const drafted = this.#sequences.get(id)?.draft(this.#length).tokenIds ?? [];
      if (drafted.length > 0) this.drafts.set((this.#known.get(id) ?? []).join(' '), drafted);
    }
  };

  readonly propose = (id: SequenceId, most: number): readonly TokenId[] =>
    this.#sequences.get(id)?.draft(Math.min(most, this.#length)).tokenIds ?? [];

  begin(id: SequenceId, request: EngineRequest): void {
    this.#sequences.set(id, this.#drafter.begin(draftedSequence(id, request)));
    this.#known.set(id, [...request.promptTokenIds]);
  }

  decided(id: SequenceId, proposals: readonly TokenId[], tokenIds: readonly TokenId[]): null {
    for (const [depth, token] of proposals.entries()) {
      if (depth >= tokenIds.length) break;
      this.tried[depth] += 1;
      if (tokenIds[depth] === token) this.right[depth] += 1;
    }
    this.#known.get(id)?.push(...tokenIds);
    this.#sequences.get(id)?.extend(tokenIds);
    return null;
  }

  endStep(): void {}

  end(id: SequenceId): void {
    this.#sequences.get(id)?.end();
    this.#sequences.delete(id);
    this.#known.delete(id);
  }

  resetCache(): void {
    this.#drafter.resetCache();
  }

  checkIntegrity(): void {
    this.#drafter.checkIntegrity();
  }
}
