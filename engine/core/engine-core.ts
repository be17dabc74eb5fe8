import type { BlockResidency } from '../../kvcache/block-residency.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { RequestId } from '../../scheduler/ids.js';
import type { Refusal, Scheduler } from '../../scheduler/scheduler.js';
import type { RequestOutput } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { MAX_RANKED, Sampler } from '../sampling/sampler.js';
import { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import type { ModelRunner } from './model-runner.js';
import { PromptRows } from './prompt-rows.js';
import type {
  CompletionOutput,
  EngineRequest,
  EngineSnapshot,
  EngineStats,
  StepReport,
  StepTimings,
} from './protocol.js';
import { RequestTimes } from './request-times.js';
import { type Completion, type OutputExtras, StepReading } from './step-reading.js';

/** Of a long line, nobody reads more. */
const MOST_WAITING_SHOWN = 64;

export interface EngineCoreDependencies {
  readonly scheduler: Scheduler;
  readonly runner: ModelRunner;
  readonly vocabSize: number;
  readonly cache: KvCacheManager;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly residency?: BlockResidency;
}

/**
 * Ties scheduler, model and sampler together. It has no thread and no loop of its own: whoever owns it calls
 * `step()` while there is work, and adds and aborts between two steps.
 */
export class EngineCore {
  readonly #dependencies: EngineCoreDependencies;
  readonly #sampler = new Sampler();
  /** Those alive. */
  readonly #completions = new Map<RequestId, Completion>();
  /** Memory for one row of logits. */
  readonly #edited: Float32Array;
  #steps = 0;
  #timings: StepTimings = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };
  #report: StepReport | null = null;

  constructor(dependencies: EngineCoreDependencies) {
    this.#dependencies = dependencies;
    this.#edited = new Float32Array(dependencies.vocabSize);
  }

  get hasWork(): boolean {
    return this.#dependencies.scheduler.hasWork;
  }

  /** Where the last step's time went. */
  get timings(): StepTimings {
    return this.#timings;
  }

  /** The last step; null before the first. */
  get report(): StepReport | null {
    return this.#report;
  }

  get stats(): EngineStats {
    const { scheduler, cache } = this.#dependencies;
    return {
      running: scheduler.numRunning,
      waiting: scheduler.numWaiting,
      paused: scheduler.numPaused,
      preemptions: scheduler.numPreemptions,
      usedBlocks: cache.pool.numUsed,
      steps: this.#steps,
    };
  }

  /**
   * @param constraints what each completion must follow, in the order of `request.ids`; none: nothing. They belong to the core from now
   *   on, also when it throws: each is disposed of when its completion has ended, whatever ended it
   * @throws OctavoError when the request can never run: what is wrong with it, and the limit
   */
  add(request: EngineRequest, constraints: readonly TokenConstraint[] = []): void {
    const { scheduler, now } = this.#dependencies;
    const promptRows =
      request.promptLogprobs !== null || request.pooling !== null ? new PromptRows(request) : null;
    const arrivalTime = now();
    try {
      this.#check(request);
      const refusal = scheduler.add({
        ...request,
        maxTokens: request.pooling === null ? request.maxTokens : 0,
        computesWholePrompt: promptRows?.readsAll ?? false,
        arrivalTime,
      });
      if (refusal) throw refusalError(refusal, request);
    } catch (error) {
      for (const constraint of constraints) constraint.dispose();
      throw error;
    }
    const times = new RequestTimes(arrivalTime);
    request.ids.forEach((id, index) => {
      const seed = (request.sampling.seed + index) >>> 0;
      const params = { ...request.sampling, seed };
      const constraint = constraints[index] ?? null;
      const sampler = new SequenceSampler({ ...request, params, constraint });
      this.#completions.set(id, { request, sampler, promptRows, times });
    });
  }

  /** Between two steps. @returns false when the completion has ended already */
  abort(id: RequestId): boolean {
    this.#forget(id);
    return this.#dependencies.scheduler.abort(id);
  }

  /** Between two steps. Completions that have ended are left out. */
  pause(ids: readonly RequestId[]): void {
    for (const id of ids) this.#dependencies.scheduler.pause(id);
  }

  /** Between two steps. */
  resume(ids: readonly RequestId[]): void {
    for (const id of ids) this.#dependencies.scheduler.resume(id);
  }

  /** Between two steps. @returns false, with nothing changed, while blocks are in use */
  resetPrefixCache(): boolean {
    return this.#dependencies.cache.resetPrefixCache();
  }

  /** Between two steps. The caller owns its memory. */
  snapshot(): EngineSnapshot {
    const { scheduler, cache, now } = this.#dependencies;
    return {
      time: Math.round(now()),
      stats: this.stats,
      blocks: cache.map(),
      requests: scheduler.progress(MOST_WAITING_SHOWN),
    };
  }

  /** Between two steps. @throws Error when requests, queues and blocks contradict each other */
  checkIntegrity(): void {
    this.#dependencies.scheduler.checkIntegrity();
    if (!this.hasWork && this.#completions.size > 0) {
      throw new Error(`${this.#completions.size} completions have ended and are still here`);
    }
  }

  /** Lets go of everything that completions hold outside the cache. For an engine that has failed, or is closed. */
  dispose(): void {
    for (const id of this.#completions.keys()) this.#forget(id);
  }

  /**
   * One step. A rejection is final: the engine must be thrown away.
   *
   * @returns null when nothing could run, whatever work there is: that changes only by a command
   */
  async step(): Promise<CompletionOutput[] | null> {
    const { scheduler, runner, now, vocabSize } = this.#dependencies;
    const start = now();
    const plan = scheduler.schedule();
    if (!plan) return null;
    const reading = new StepReading(plan, this.#completions, vocabSize);
    const scheduled = now();
    for (const { requestId } of plan.sequences) {
      this.#completions.get(requestId)?.times.begin(start);
    }
    const answer = await runner.execute(plan, reading.query);
    const executed = now();
    const extras = new Map<RequestId, OutputExtras>();
    reading.readPrompts(answer);
    const sampled = reading.sample(answer, this.#sampler, this.#edited, extras);
    const results = scheduler.apply(plan, sampled);
    const end = now();
    const outputs = results.map((output) =>
      this.#complete(output, end, extras.get(output.requestId)),
    );
    const [schedule, sample, total] = [scheduled - start, end - executed, end - start];
    this.#timings = { ...runner.timings, schedule, sample, total };
    this.#steps += 1;
    this.#report = {
      numTokens: plan.numTokens,
      timings: this.#timings,
      residency: this.#dependencies.residency?.take() ?? null,
    };
    return outputs;
  }

  /** Adds to an output what the scheduler knows nothing of, and lets a finished completion go. */
  #complete(output: RequestOutput, now: number, extras?: OutputExtras): CompletionOutput {
    const { requestId, finishReason } = output;
    const completion = this.#completions.get(requestId);
    const prompt = completion?.promptRows?.takeResults();
    const times = completion?.times.firstToken(requestId, now);
    if (finishReason !== null) this.#forget(requestId);
    if (!extras && !prompt && !times) return output;
    // To its reader, an embedding is complete, not cut off.
    const pooled = prompt?.embedding && ({ finishReason: 'stop' } as const);
    return { ...output, ...extras, ...prompt, ...pooled, ...(times && { times }) };
  }

  #forget(id: RequestId): void {
    this.#completions.get(id)?.sampler.dispose();
    this.#completions.delete(id);
  }

  /** @throws OctavoError when a token id of the request is none of the model's, or more is wanted of a row than comes out */
  #check(request: EngineRequest): void {
    const { vocabSize } = this.#dependencies;
    const check = (param: string, ids: readonly number[]): void => {
      const foreign = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
      if (foreign === undefined) return;
      throw new OctavoError(
        'invalid_request',
        `${param}: token id ${foreign} is outside the vocabulary (0 to ${vocabSize - 1})`,
        { param },
      );
    };
    check('prompt', request.promptTokenIds);
    check('stop_token_ids', request.stopTokenIds);
    const biased = request.sampling.logitBias.map(([token]) => token);
    check('logit_bias', biased);
    for (const [param, count] of [
      ['logprobs', request.logprobs],
      ['prompt_logprobs', request.promptLogprobs],
    ] as const) {
      if ((count ?? 0) <= MAX_RANKED) continue;
      const message = `${param}: at most ${MAX_RANKED} of the most likely tokens, not ${count}`;
      throw new OctavoError('invalid_request', message, { param });
    }
  }
}

function refusalError(refusal: Refusal, request: EngineRequest): OctavoError {
  const prompt = request.promptTokenIds.length;
  switch (refusal.reason) {
    case 'empty-prompt':
      return new OctavoError('invalid_request', 'prompt: must hold at least one token', {
        param: 'prompt',
      });
    case 'duplicate-id':
      return new OctavoError('internal', `request id ${request.ids.join(', ')} is in use`);
    case 'context':
      return new OctavoError(
        'context_length_exceeded',
        `This model's maximum context length is ${refusal.limit} tokens. The request asks for ${refusal.tokens} ` +
          `(${prompt} in the prompt, ${request.maxTokens} in the completion).`,
      );
    case 'pool':
      return new OctavoError(
        'context_length_exceeded',
        `The KV cache has ${refusal.limit} blocks. The request needs ${refusal.blocks} ` +
          `(${prompt} tokens in the prompt, ${request.maxTokens} in the completion).`,
      );
  }
}
