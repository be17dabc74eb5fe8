import type { BlockResidency } from '../../kvcache/block-residency.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { RequestId } from '../../scheduler/ids.js';
import type { Refusal, Scheduler } from '../../scheduler/scheduler.js';
import type { RequestOutput, SampledToken, StepPlan } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { Sampler } from '../sampling/sampler.js';
import { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import type { ModelRunner } from './model-runner.js';
import type {
  CompletionOutput,
  EngineRequest,
  EngineStats,
  StepReport,
  StepTimings,
} from './protocol.js';

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
    const arrivalTime = now();
    try {
      this.#checkTokens(request);
      const refusal = scheduler.add({ ...request, arrivalTime });
      if (refusal) throw refusalError(refusal, request);
    } catch (error) {
      for (const constraint of constraints) constraint.dispose();
      throw error;
    }
    const times: RequestTimes = { arrived: arrivalTime, scheduled: null };
    request.ids.forEach((id, index) => {
      const seed = (request.sampling.seed + index) >>> 0;
      const params = { ...request.sampling, seed };
      const constraint = constraints[index] ?? null;
      const sampler = new SequenceSampler({ ...request, params, constraint });
      this.#completions.set(id, { sampler, times, begun: false });
    });
  }

  /** Between two steps. @returns false when the completion has ended already */
  abort(id: RequestId): boolean {
    this.#forget(id);
    return this.#dependencies.scheduler.abort(id);
  }

  /** Between two steps. @returns false, with nothing changed, while blocks are in use */
  resetPrefixCache(): boolean {
    return this.#dependencies.cache.resetPrefixCache();
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

  /** One step, if anything can run. A rejection is final: the engine must be thrown away. */
  async step(): Promise<CompletionOutput[]> {
    const { scheduler, runner, now } = this.#dependencies;
    const start = now();
    const plan = scheduler.schedule();
    if (!plan) return [];
    const scheduled = now();
    for (const { requestId } of plan.sequences) {
      const times = this.#completions.get(requestId)?.times;
      if (times) times.scheduled ??= start;
    }
    const logits = await runner.execute(plan);
    const executed = now();
    const results = scheduler.apply(plan, this.#sample(plan, logits));
    const end = now();
    const outputs = results.map((output) => this.#withTimes(output, end));
    const [schedule, sample, total] = [scheduled - start, end - executed, end - start];
    this.#timings = { ...runner.timings, schedule, sample, total };
    for (const output of outputs) {
      if (output.finishReason !== null) this.#forget(output.requestId);
    }
    this.#steps += 1;
    this.#report = {
      numTokens: plan.numTokens,
      timings: this.#timings,
      residency: this.#dependencies.residency?.take() ?? null,
    };
    return outputs;
  }

  /** The first token of a completion says how long it took. */
  #withTimes(output: RequestOutput, end: number): CompletionOutput {
    const completion = this.#completions.get(output.requestId);
    if (!completion || completion.begun) return output;
    completion.begun = true;
    const { arrived, scheduled } = completion.times;
    const begun = scheduled ?? end;
    return { ...output, times: { queued: begun - arrived, prefill: end - begun } };
  }

  #sample(plan: StepPlan, logits: Float32Array): SampledToken[] {
    const { vocabSize } = this.#dependencies;
    const sampled: SampledToken[] = [];
    let row = 0;
    for (const { samplers } of plan.sequences) {
      if (samplers.length === 0) continue;
      const rowLogits = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      for (const requestId of samplers) {
        const sampler = this.#completions.get(requestId)?.sampler;
        if (!sampler) throw new Error(`the plan samples ${requestId}, which is not here`);
        const tokenId = sampler.next(this.#sampler, rowLogits, this.#edited);
        sampled.push({ requestId, tokenId });
      }
      row += 1;
    }
    return sampled;
  }

  #forget(id: RequestId): void {
    this.#completions.get(id)?.sampler.dispose();
    this.#completions.delete(id);
  }

  /** @throws OctavoError when a token id of the request is none of the model's */
  #checkTokens(request: EngineRequest): void {
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
  }
}

/** A live completion. */
interface Completion {
  readonly sampler: SequenceSampler;
  readonly times: RequestTimes;
  /** It has its first token. */
  begun: boolean;
}

/** Shared by all completions of a request, on the engine's clock. */
interface RequestTimes {
  readonly arrived: number;
  /** The beginning of its first step. */
  scheduled: number | null;
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
