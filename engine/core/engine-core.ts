import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { RequestId } from '../../scheduler/ids.js';
import type { Refusal, Scheduler } from '../../scheduler/scheduler.js';
import type { SampledToken, StepPlan } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { maskedLogits, sampleToken } from '../sampling/sampler.js';
import type { SamplingParams } from '../sampling/sampling-params.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
import type { ModelRunner, RunnerTimings } from './model-runner.js';
import type { CompletionOutput, EngineRequest, EngineStats } from './protocol.js';

export interface EngineCoreDependencies {
  readonly scheduler: Scheduler;
  readonly runner: ModelRunner;
  readonly vocabSize: number;
  readonly cache: KvCacheManager;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Ties scheduler, model and sampler together. It has no thread and no loop of its own: whoever owns it calls
 * `step()` while there is work, and adds and aborts between two steps.
 */
export class EngineCore {
  readonly #dependencies: EngineCoreDependencies;
  readonly #sampling = new Map<RequestId, SequenceSampling>();
  #steps = 0;
  #timings: StepTimings = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };

  constructor(dependencies: EngineCoreDependencies) {
    this.#dependencies = dependencies;
  }

  get hasWork(): boolean {
    return this.#dependencies.scheduler.hasWork;
  }

  /** Where the last step's time went. */
  get timings(): StepTimings {
    return this.#timings;
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
   * @param constraints one for each completion, or none at all; they are this core's from now on, also when it throws
   * @throws OctavoError when the request can never run: what is wrong with it, and the limit
   */
  add(request: EngineRequest, constraints: readonly TokenConstraint[] = []): void {
    try {
      this.#add(request, constraints);
    } catch (error) {
      for (const constraint of constraints) constraint.dispose();
      throw error;
    }
  }

  #add(request: EngineRequest, constraints: readonly TokenConstraint[]): void {
    const { scheduler, now, vocabSize } = this.#dependencies;
    const foreign = request.promptTokenIds.find((token) => token < 0 || token >= vocabSize);
    if (foreign !== undefined) {
      throw new OctavoError(
        'invalid_request',
        `prompt: token id ${foreign} is outside the vocabulary (0 to ${vocabSize - 1})`,
        { param: 'prompt' },
      );
    }
    const refusal = scheduler.add({ ...request, arrivalTime: now() });
    if (refusal) throw refusalError(refusal, request);
    request.ids.forEach((id, index) => {
      const seed = (request.sampling.seed + index) >>> 0;
      this.#sampling.set(id, {
        params: { ...request.sampling, seed },
        constraint: constraints[index] ?? null,
        generated: 0,
      });
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

  /** One step, if anything can run. A rejection is final: the engine must be thrown away. */
  async step(): Promise<CompletionOutput[]> {
    const { scheduler, runner, now } = this.#dependencies;
    const start = now();
    const plan = scheduler.schedule();
    if (!plan) return [];
    const scheduled = now();
    const logits = await runner.execute(plan);
    const executed = now();
    const outputs = scheduler.apply(plan, this.#sample(plan, logits));
    const end = now();
    const [schedule, sample, total] = [scheduled - start, end - executed, end - start];
    this.#timings = { ...runner.timings, schedule, sample, total };
    for (const output of outputs) {
      if (output.finishReason !== null) this.#forget(output.requestId);
    }
    this.#steps += 1;
    return outputs;
  }

  #forget(id: RequestId): void {
    this.#sampling.get(id)?.constraint?.dispose();
    this.#sampling.delete(id);
  }

  #sample(plan: StepPlan, logits: Float32Array): SampledToken[] {
    const { vocabSize } = this.#dependencies;
    const sampled: SampledToken[] = [];
    let row = 0;
    for (const { samplers } of plan.sequences) {
      if (samplers.length === 0) continue;
      const rowLogits = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      for (const requestId of samplers) {
        const state = this.#sampling.get(requestId);
        if (!state) throw new Error(`the plan samples ${requestId}, which is not here`);
        const allowed = state.constraint?.mask() ?? null;
        const masked = allowed ? maskedLogits(rowLogits, allowed) : rowLogits;
        const tokenId = sampleToken(masked, state.params, state.generated);
        state.constraint?.accept(tokenId);
        state.generated += 1;
        sampled.push({ requestId, tokenId });
      }
      row += 1;
    }
    return sampled;
  }
}

/** Milliseconds of a step by phase; what is left of `total` is JavaScript around ONNX Runtime's calls. */
export interface StepTimings extends RunnerTimings {
  readonly schedule: number;
  /** Sampling, and taking the results in. */
  readonly sample: number;
  readonly total: number;
}

interface SequenceSampling {
  readonly params: SamplingParams;
  readonly constraint: TokenConstraint | null;
  /** Index of the next token: with the seed it fixes the random number. */
  generated: number;
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
