import type { SequenceId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import { BeamDecoder } from './beams/beam-decoder.js';
import type { Decision, Decoder, SampledSequence } from './decoder.js';
import type { LogitsQueryBuilder } from './logits-query-builder.js';
import { SamplingDecoder, type SamplingDecoderOptions } from './sampling-decoder.js';
import type { StepAnswer } from './step-answer.js';

/** Decides sequences of requests with `beams` by beam search, and all others by sampling. */
export class RequestDecoders implements Decoder {
  readonly #sampling: SamplingDecoder;
  readonly #beams = new BeamDecoder();
  /** Sequences of the step in the plan's order. */
  #asked: SequenceId[] = [];

  constructor(options: SamplingDecoderOptions) {
    this.#sampling = new SamplingDecoder(options);
  }

  get propose(): Propose {
    const { propose } = this.#sampling;
    if (this.#beams.isIdle) return propose;
    return (id, most, step) => (this.#beams.has(id) ? [] : propose(id, most, step));
  }

  get speculation(): SpeculationStats | null {
    return this.#sampling.speculation;
  }

  begin(id: SequenceId, request: EngineRequest, constraint: TokenConstraint | null): void {
    if (request.beams) this.#beams.begin(id, request);
    else this.#sampling.begin(id, request, constraint);
  }

  held(): ReadonlySet<SequenceId> {
    const held = this.#sampling.held();
    return this.#beams.isIdle ? held : new Set([...held, ...this.#beams.held()]);
  }

  whenReady(): Promise<void> {
    return this.#sampling.whenReady();
  }

  ask(
    builder: LogitsQueryBuilder,
    sequence: ScheduledSequence,
    firstRow: number,
    sampled: readonly SampledSequence[],
  ): void {
    if (this.#beams.has(sequence.id)) this.#beams.ask(builder, sequence, firstRow);
    else this.#sampling.ask(builder, sequence, firstRow, sampled);
    this.#asked.push(...sequence.sampledFor);
  }

  decide(answer: StepAnswer): Decision {
    const asked = this.#asked;
    this.#asked = [];
    const sampled = this.#sampling.decide(answer);
    const found = this.#beams.decide(answer);
    if (found.updates.length === 0) return sampled;
    const updates = new Map<SequenceId, SequenceUpdate>();
    for (const update of [...sampled.updates, ...found.updates]) updates.set(update.id, update);
    const inOrder = asked.flatMap((id) => updates.get(id) ?? []);
    return { ...sampled, ...(found.searches && { searches: found.searches }), updates: inOrder };
  }

  forget(id: SequenceId): void {
    if (this.#beams.has(id)) this.#beams.forget(id);
    else this.#sampling.forget(id);
  }

  abandon(output: SequenceId): readonly SequenceId[] | null {
    return this.#beams.abandon(output);
  }
}
