import { InferenceSession, Tensor } from 'onnxruntime-node';
import { KernelAttention } from '../../engine/attention/kernel-attention.js';
import { fullRowsOf } from '../../engine/decoding/logits-query.js';
import { importModel } from '../../engine/importer/import-model.js';
import { SegmentRunner } from '../../engine/runner/segment-runner.js';
import type { BlockId } from '../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { median } from './report.js';

// A program: node decode-process.ts <cut|uncut> <model directory> <context>. Prints the
// milliseconds of a decode step at batch 1.

const THREADS = 2;
const STEPS = 24;
const [kind, modelDir, contextText] = process.argv.slice(2);
const context = Number(contextText);

async function uncut(): Promise<() => Promise<unknown>> {
  const model = await importModel({ modelDir });
  const session = await InferenceSession.create(model.report.file, {
    intraOpNumThreads: THREADS,
    interOpNumThreads: 1,
  });
  const int64 = (length: number, value: bigint): Tensor =>
    new Tensor('int64', new BigInt64Array(length).fill(value), [1, length]);
  const feeds: Record<string, Tensor> = {
    input_ids: int64(1, 5n),
    position_ids: int64(1, BigInt(context)),
    attention_mask: int64(context + 1, 1n),
  };
  for (const { layer, numKvHeads, headSize } of model.sites) {
    const past = new Float32Array(numKvHeads * context * headSize).fill(0.01);
    for (const name of ['key', 'value']) {
      const dims = [1, numKvHeads, context, headSize];
      feeds[`past_key_values.${layer}.${name}`] = new Tensor('float32', past, dims);
    }
  }
  return () => session.run(feeds);
}

async function cut(): Promise<() => Promise<unknown>> {
  const model = await importModel({ modelDir });
  const blockSize = 16;
  const numBlocks = Math.ceil((context + STEPS) / blockSize);
  const attention = new KernelAttention({
    layers: model.sites,
    numBlocks,
    blockSize,
    kvDtype: 'f32',
    threads: THREADS,
  });
  const runner = await SegmentRunner.create(model, attention, { threads: THREADS });
  const blocks = Array.from({ length: numBlocks }, (_, i) => i as BlockId);
  const id = 'bench' as SequenceId;
  const run = (from: number, count: number): Promise<unknown> => {
    const tokenIds = Array.from({ length: count }, () => 5 as TokenId);
    const sequence = {
      id,
      tokenIds,
      numComputed: from,
      numProposed: 0,
      adapter: null,
      sequenceLength: from + count,
      blockTables: [blocks],
      sampledFor: [id],
    };
    const plan = { sequences: [sequence], numTokens: count, blockCopies: [] };
    // What a greedy step asks. (The uncut graph copies its row of logits out.)
    return runner.execute(plan, { ...fullRowsOf(plan), fullRows: [] });
  };
  await run(0, context);
  return () => run(context, 1);
}

const step = await (kind === 'cut' ? cut() : uncut());
const times: number[] = [];
for (let i = 0; i < STEPS; i++) {
  const start = performance.now();
  await step();
  times.push(performance.now() - start);
}
process.stdout.write(`${median(times.slice(4))}\n`);
// Sessions and worker threads end with the process.
process.exit(0);
