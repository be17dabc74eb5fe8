import { EngineCore } from '../engine/core/engine-core.js';
import type { ModelRunner } from '../engine/core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../engine/decoding/logits-query.js';
import { PLAIN_REQUEST } from '../engine/protocol/request.js';
import { buildStepBatch } from '../engine/runner/step-batch.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import { BlockHistory } from '../kvcache/block-history.js';
import { createEviction } from '../kvcache/eviction/create-eviction.js';
import { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import { Scheduler } from '../scheduler/scheduler.js';
import type { StepPlan } from '../scheduler/step-plan.js';
import { type Cell, median, publish } from './lib/report.js';

// The cost of a decode step without the model: a scripted model answers at once, so that all time
// is Octavo's own JavaScript.

const SEQUENCES = [1, 32, 256, 1024];
const CONTEXT = 512;
const BLOCK_SIZE = 16;
/**
 * Tokens of a step, at most, as servers have it. All prompts in one step would teach V8, which sees
 * all that they make survive, to put the objects of every later step into its old space
 * (pretenuring).
 */
const BATCHED_TOKENS = 8192;
/** Steps with all sequences, of which the first half warms up. */
const STEPS = 400;
const VOCAB = 151_936;

/** Makes the step's batch, as a real runner does, and says the same token for every row. */
class ScriptedRunner implements ModelRunner {
  readonly canCopyBlocks = true;
  readonly timings = { segments: 0, attention: 0 };
  buildMs = 0;

  execute(plan: StepPlan, { logitRows, topK }: LogitsQuery): Promise<LogitsResult> {
    const start = performance.now();
    buildStepBatch(plan);
    this.buildMs = performance.now() - start;
    return Promise.resolve({
      topLogits: new Float32Array(logitRows.length * topK),
      topIds: new Int32Array(logitRows.length * topK).fill(7),
      targetLogits: new Float32Array(logitRows.length),
      softmaxSums: new Float32Array(0),
      fullRows: new Int32Array(0),
      fullLogits: new Float32Array(0),
      hidden: new Float32Array(0),
    });
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

async function measure(numSequences: number): Promise<Cell[]> {
  const now = (): number => performance.now();
  const fillSteps = Math.ceil((numSequences * CONTEXT) / (BATCHED_TOKENS - numSequences)) + 1;
  const length = CONTEXT + STEPS + fillSteps;
  const numBlocks = numSequences * Math.ceil(length / BLOCK_SIZE);
  const history = new BlockHistory({ numBlocks, sampleRate: 0, now, random: Math.random });
  const cache = new KvCacheManager({
    numBlocks,
    blockSize: BLOCK_SIZE,
    enablePrefixCaching: true,
    history,
    // The server's default.
    eviction: createEviction('predicted', { numBlocks, blockSize: BLOCK_SIZE, history }),
  });
  const scheduler = new Scheduler(
    {
      policy: 'fcfs',
      maxNumSeqs: numSequences,
      maxNumBatchedTokens: BATCHED_TOKENS,
      longPrefillThreshold: 0,
      maxModelLength: length,
      switchLengths: [],
      modelFingerprint: 'scripted',
    },
    cache,
  );
  const runner = new ScriptedRunner();
  const core = new EngineCore({ scheduler, runner, vocabSize: VOCAB, cache, now });
  for (let i = 0; i < numSequences; i++) {
    core.add({
      ids: [`sequence-${i}` as SequenceId],
      // No two have a block in common.
      promptTokenIds: Array.from(
        { length: CONTEXT },
        (_, k) => ((i + k * 7919) % VOCAB) as TokenId,
      ),
      maxTokens: length - CONTEXT,
      stopTokenIds: [],
      sampling: GREEDY,
      ...PLAIN_REQUEST,
    });
  }
  while (core.stats.waiting > 0 || (core.report?.numTokens ?? 0) > numSequences) await core.step();
  const plan: number[] = [];
  const build: number[] = [];
  const decide: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const outputs = await core.step();
    if (outputs?.length !== numSequences) throw new Error(`a step of ${outputs?.length} outputs`);
    if (step < STEPS / 2) continue;
    plan.push(core.timings.schedule);
    build.push(runner.buildMs);
    decide.push(core.timings.sample);
  }
  const phases = [plan, build, decide].map((times) => 1000 * median(times));
  const total = phases.reduce((a, b) => a + b, 0);
  return [numSequences, ...phases, total, total / numSequences];
}

const rows: Cell[][] = [];
for (const numSequences of SEQUENCES) rows.push(await measure(numSequences));
publish({
  name: 'schedule',
  command: 'npm run bench:schedule',
  about: `Decode steps of the engine core with a scripted model that answers at once: contexts of ${CONTEXT} tokens and more, blocks of ${BLOCK_SIZE}, greedy. Medians of ${STEPS / 2} steps, microseconds.`,
  tables: [
    {
      title: 'What a step costs beside the model',
      columns: [
        'sequences',
        'schedule and ask',
        'build the batch',
        'decide and apply',
        'together',
        'for each sequence',
      ],
      rows,
    },
  ],
});
