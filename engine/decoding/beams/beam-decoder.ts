import type { SequenceId } from '../../../scheduler/ids.js';
import { PROPOSE_NOTHING } from '../../../scheduler/step-builder.js';
import type { ScheduledSequence, SequenceUpdate } from '../../../scheduler/step-plan.js';
import type { EngineRequest } from '../../protocol/request.js';
import type { Decision, Decoder, EndedSearch } from '../decoder.js';
import type { LogitsQueryBuilder } from '../logits-query-builder.js';
import type { StepAnswer } from '../step-answer.js';
import { tokenLogprobs } from '../token-logprobs.js';
import { BeamSearch, type BeamStep } from './beam-search.js';

/** The search of one request, with what the scheduler has not been told yet. */
interface RequestSearch {
  readonly search: BeamSearch;
  readonly request: EngineRequest;
  /** Outputs that are still wanted. */
  readonly wanted: Set<SequenceId>;
  /** Decided steps of beams that have not been in a plan since. */
  readonly untold: Map<SequenceId, BeamStep>;
}

interface AskedBeam {
  readonly id: SequenceId;
  /** The row of its candidates, and the number of the row's sum; null when nothing was asked. */
  readonly row: { readonly logits: number; readonly sum: number } | null;
}

/**
 * Beam search: beams are sequences that fork and are dropped, so that they share the blocks of
 * their common beginnings. A round is decided when the rows of all beams of a request are there. A
 * beam whose row comes first is held until then; under memory pressure that can take several
 * steps, and a beam that was preempted meanwhile is told the decision when it runs again.
 */
export class BeamDecoder implements Decoder {
  readonly propose = PROPOSE_NOTHING;
  readonly speculation = null;
  readonly #searches = new Map<SequenceId, RequestSearch>();
  #asked: AskedBeam[] = [];
  #forks = 0;

  /** Whether it decides this sequence. */
  has(id: SequenceId): boolean {
    return this.#searches.has(id);
  }

  get isIdle(): boolean {
    return this.#searches.size === 0;
  }

  /** @param id the sequence that the search begins with; none of `request.ids` */
  begin(id: SequenceId, request: EngineRequest): void {
    const { beams, maxTokens, minTokens, stopTokenIds } = request;
    if (!beams) throw new Error(`${id} has no beams`);
    const search = new BeamSearch(id, { ...beams, maxTokens, minTokens, stopTokenIds });
    const wanted = new Set(request.ids);
    this.#searches.set(id, { search, request, wanted, untold: new Map() });
  }

  held(): ReadonlySet<SequenceId> {
    const held = new Set<SequenceId>();
    for (const [id, { search }] of this.#searches) if (search.hasOffered(id)) held.add(id);
    return held;
  }

  /** Never: only steps of other beams let one go on. */
  whenReady(): Promise<void> {
    return new Promise(() => undefined);
  }

  ask(
    builder: LogitsQueryBuilder,
    { tokenIds, sampledFor }: ScheduledSequence,
    firstRow: number,
  ): void {
    for (const id of sampledFor) {
      const { search, untold } = this.#find(id);
      if (untold.has(id) || search.hasOffered(id)) {
        this.#asked.push({ id, row: null });
        continue;
      }
      const logits = builder.addLogits(firstRow + tokenIds.length - 1, search.numCandidates);
      this.#asked.push({ id, row: { logits, sum: builder.addSoftmaxSum(logits, 1) } });
    }
  }

  decide(answer: StepAnswer): Decision {
    const asked = this.#asked;
    this.#asked = [];
    for (const { id, row } of asked) {
      if (row === null) continue;
      const { search } = this.#find(id);
      const candidates = answer.candidates(row.logits);
      const count = Math.min(search.numCandidates, candidates.count);
      search.offer(id, tokenLogprobs(0, candidates, answer.softmaxSum(row.sum), count));
    }
    const searches: EndedSearch[] = [];
    for (const each of new Set(asked.map(({ id }) => this.#find(id)))) {
      if (!each.search.isReady) continue;
      this.#advance(each);
      if (each.search.isDone) searches.push(this.#ended(each));
    }
    const updates = asked.map(({ id }) => this.#tell(id));
    return { updates, logprobs: new Map(), ...(searches.length > 0 && { searches }) };
  }

  forget(id: SequenceId): void {
    this.#searches.delete(id);
  }

  abandon(output: SequenceId): readonly SequenceId[] | null {
    for (const each of new Set(this.#searches.values())) {
      if (!each.wanted.delete(output)) continue;
      return each.wanted.size === 0 ? this.#sequencesOf(each) : [];
    }
    return null;
  }

  /** Decides a round; forks are known from now on. */
  #advance(each: RequestSearch): void {
    const steps = each.search.advance(() => {
      const fork = `${each.request.ids[0]}/${++this.#forks}` as SequenceId;
      this.#searches.set(fork, each);
      return fork;
    });
    for (const step of steps) each.untold.set(step.id, step);
  }

  /** What the scheduler is told of a beam that is in the plan. */
  #tell(id: SequenceId): SequenceUpdate {
    const { search, untold } = this.#find(id);
    const step = untold.get(id);
    // Until the round is decided, or because the core ends all sequences of the search.
    if (!step || search.isDone) return { id, tokenIds: [] };
    untold.delete(id);
    const [first, ...others] = step.next;
    if (!first) return { id, tokenIds: [], drop: true };
    const forks = others.map(({ id: fork, token }) => ({ id: fork, tokenIds: [token] }));
    return { id, tokenIds: [first.token], ...(forks.length > 0 && { forks }) };
  }

  #ended(each: RequestSearch): EndedSearch {
    const { hypotheses } = each.search;
    const outputs = each.request.ids.flatMap((id, rank) =>
      each.wanted.has(id) ? { ...hypotheses[rank], id } : [],
    );
    return { sequences: this.#sequencesOf(each), outputs };
  }

  /** All of them, forks that the scheduler has not heard of included. */
  #sequencesOf(each: RequestSearch): SequenceId[] {
    return [...this.#searches].flatMap(([id, search]) => (search === each ? id : []));
  }

  #find(id: SequenceId): RequestSearch {
    const found = this.#searches.get(id);
    if (!found) throw new Error(`${id} is no beam`);
    return found;
  }
}
