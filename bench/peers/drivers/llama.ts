import type { LlamaContext, LlamaContextSequence, Token } from 'node-llama-cpp';
import { converse, serveLoads } from '../protocol.js';

// node-llama-cpp in the process, without HTTP: sequences of one context, which it evaluates in
// common batches. A sequence keeps what it has in common with its next prompt.

const CONTEXT = 2048;

/** `looksUp`: tokens are drafted from the prompt, by node-llama-cpp's own predictor. */
const { file, looksUp = false } = JSON.parse(process.argv[2]) as {
  file: string;
  looksUp?: boolean;
};
const began = performance.now();
const { getLlama, InputLookupTokenPredictor, LlamaLogLevel } = await import('node-llama-cpp');
const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: 2,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: file });

let context: LlamaContext | null = null;

/** A fresh context: no load finds what another one has left. */
async function sequencesOf(count: number): Promise<LlamaContextSequence[]> {
  await context?.dispose();
  context = await model.createContext({
    sequences: count,
    contextSize: CONTEXT,
    batchSize: 512,
    threads: { ideal: 2, min: 2 },
    flashAttention: process.env['BENCH_FLASH'] !== '0',
  });
  const created = context;
  return Array.from({ length: count }, () =>
    created.getSequence(looksUp ? { tokenPredictor: new InputLookupTokenPredictor() } : {}),
  );
}

await serveLoads(`node-llama-cpp ${file.split('/').at(-1) ?? ''}`, began, async (load) => {
  const sequences = await sequencesOf(load.sequences);
  const turns = await converse(load, load.sequences, async ({ prompt, maxTokens }, worker, now) => {
    const sequence = sequences[worker];
    const tokens = prompt as readonly number[] as Token[];
    await sequence.adaptStateToTokens(tokens, false);
    const rest = tokens.slice(Math.min(sequence.nextTokenIndex, tokens.length - 1));
    const outputMs: number[] = [];
    for await (const _ of sequence.evaluate(rest, { temperature: 0, yieldEogToken: true })) {
      outputMs.push(now());
      if (outputMs.length === maxTokens) break;
    }
    return { outputMs, endMs: now(), tokens: outputMs.length };
  });
  return { turns, serial: false };
});
process.exit(0);
