import type { Decision, Decoder, SampledSequence } from '../../engine/decoding/decoder.js';
import type { LogitsQueryBuilder } from '../../engine/decoding/logits-query-builder.js';
import type { StepAnswer } from '../../engine/decoding/step-answer.js';
import { tokenLogprobs } from '../../engine/decoding/token-logprobs.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';

/** A text, and the sum of its tokens' log-probabilities. */
export interface Beam {
  readonly tokenIds: readonly TokenId[];
  readonly score: number;
}

/** A live beam, and the request that it belongs to: its first sequence's id. */
interface LiveBeam extends Beam {
  readonly root: SequenceId;
}

/**
 * Beam search as a decoder: of all continuations of a request's beams, the best `width` live on. A
 * beam with several of them forks, and one without any is dropped. It shows what the ports of
 * scheduler and core carry; all beams of a request must fit into every step.
 */
export class BeamDecoder implements Decoder {
  readonly propose = (): readonly TokenId[] => [];
  readonly speculation = null;
  /** By request: its beams at the end, the best first. */
  readonly results = new Map<SequenceId, Beam[]>();
  readonly #width: number;
  readonly #live = new Map<SequenceId, LiveBeam>();
  #asked: { readonly id: SequenceId; readonly row: number; readonly sum: number }[] = [];
  #forks = 0;

  constructor(width: number) {
    this.#width = width;
  }

  begin(): void {}

  held(): ReadonlySet<SequenceId> {
    return new Set();
  }

  whenReady(): Promise<void> {
    return new Promise(() => undefined);
  }

  ask(
    builder: LogitsQueryBuilder,
    { tokenIds, sampledFor }: ScheduledSequence,
    firstRow: number,
    _sampled: readonly SampledSequence[],
  ): void {
    for (const id of sampledFor) {
      const row = builder.addLogits(firstRow + tokenIds.length - 1, this.#width);
      this.#asked.push({ id, row, sum: builder.addSoftmaxSum(row, 1) });
      if (!this.#live.has(id)) this.#live.set(id, { root: id, tokenIds: [], score: 0 });
    }
  }

  decide(answer: StepAnswer): Decision {
    const best = new Map<SequenceId, (LiveBeam & { readonly parent: SequenceId })[]>();
    for (const { id, row, sum } of this.#asked) {
      const parent = this.#beam(id);
      const candidates = answer.candidates(row);
      const total = answer.softmaxSum(sum);
      const { topIds, topLogprobs } = tokenLogprobs(0, candidates, total, this.#width);
      const all = best.get(parent.root) ?? [];
      for (const [rank, token] of topIds.entries()) {
        const tokenIds = [...parent.tokenIds, token];
        const score = parent.score + topLogprobs[rank];
        all.push({ root: parent.root, tokenIds, score, parent: id });
      }
      best.set(parent.root, all);
    }
    const survivors = [...best.values()].flatMap((all) =>
      all.sort((a, b) => b.score - a.score).slice(0, this.#width),
    );
    const updates = this.#asked.map(({ id }) =>
      this.#update(
        id,
        survivors.filter(({ parent }) => parent === id),
      ),
    );
    this.#asked = [];
    return { updates, logprobs: new Map() };
  }

  /** A beam that has ended is a result; one that was dropped is not here any more. */
  forget(id: SequenceId): void {
    const beam = this.#live.get(id);
    if (!beam) return;
    this.#live.delete(id);
    const { root, ...ended } = beam;
    const results = [...(this.results.get(root) ?? []), ended];
    this.results.set(
      root,
      results.sort((a, b) => b.score - a.score),
    );
  }

  #update(id: SequenceId, [first, ...others]: readonly LiveBeam[]): SequenceUpdate {
    if (!first) {
      this.#live.delete(id);
      return { id, tokenIds: [], drop: true };
    }
    const last = ({ tokenIds }: Beam): TokenId[] => tokenIds.slice(-1);
    this.#live.set(id, first);
    const forks = others.map((beam) => {
      const fork = `${first.root}/${++this.#forks}` as SequenceId;
      this.#live.set(fork, beam);
      return { id: fork, tokenIds: last(beam) };
    });
    return { id, tokenIds: last(first), ...(forks.length > 0 && { forks }) };
  }

  #beam(id: SequenceId): LiveBeam {
    const beam = this.#live.get(id);
    if (!beam) throw new Error(`${id} is no beam`);
    return beam;
  }
}
