import { basename, dirname } from 'node:path';
import type { Tensor as TensorType } from '@huggingface/transformers';
import { serveLoads, type Turn, type TurnResult } from '../protocol.js';

// transformers.js in the process, without HTTP. It runs one sequence at a time, so requests queue.
// A queue of 32 equal requests would take minutes: the first ones are measured, and the others are
// given their mean time. Its key-value cache belongs to one call.

const MEASURED = 1;

const { model: directory, dtype } = JSON.parse(process.argv[2]) as { model: string; dtype: string };
const began = performance.now();
const { AutoModelForCausalLM, BaseStreamer, env, Tensor } = await import(
  '@huggingface/transformers'
);
env.allowRemoteModels = false;
env.localModelPath = dirname(directory);
const model = await AutoModelForCausalLM.from_pretrained(basename(directory), {
  dtype: dtype as 'fp32' | 'q8' | 'q4',
  device: 'cpu',
  local_files_only: true,
  model_file_name: 'last_logits',
  use_external_data_format: true,
  session_options: { intraOpNumThreads: 2, interOpNumThreads: 1 },
});

class Times extends BaseStreamer {
  readonly at: number[] = [];
  #prompt = true;

  override put(): void {
    // The prompt comes first.
    if (this.#prompt) this.#prompt = false;
    else this.at.push(performance.now());
  }

  override end(): void {}
}

interface Service {
  /** Milliseconds from the call. */
  readonly outputMs: readonly number[];
  readonly endMs: number;
  readonly tokens: number;
}

async function generate({ prompt, maxTokens }: Turn): Promise<Service> {
  const ids = BigInt64Array.from(prompt, BigInt);
  const shape = [1, prompt.length];
  const streamer = new Times();
  const start = performance.now();
  const output = (await model.generate({
    inputs: new Tensor('int64', ids, shape),
    attention_mask: new Tensor('int64', new BigInt64Array(prompt.length).fill(1n), shape),
    max_new_tokens: maxTokens,
    do_sample: false,
    streamer,
  } as never)) as TensorType;
  return {
    outputMs: streamer.at.map((at) => at - start),
    endMs: performance.now() - start,
    tokens: (output.dims[1] ?? 0) - prompt.length,
  };
}

await serveLoads(`transformers.js ${dtype}`, began, async (load) => {
  const turns: TurnResult[] = [];
  const measured: Service[][] = [];
  for (const conversation of load.conversations.slice(
    0,
    Math.max(MEASURED, load.concurrency === 1 ? 99 : 0),
  )) {
    const services: Service[] = [];
    for (const turn of conversation) services.push(await generate(turn));
    measured.push(services);
  }
  // First come, first served: everyone's first turn, then everyone's second, ...
  let clock = 0;
  const due = load.conversations.map(() => 0);
  for (let turn = 0; turn < load.conversations[0].length; turn++) {
    for (const conversation of load.conversations.keys()) {
      const service = measured[conversation % measured.length][turn];
      const begin = load.concurrency === 1 ? 0 : clock;
      turns.push({
        conversation,
        turn,
        dueMs: load.concurrency === 1 ? 0 : due[conversation],
        outputMs: service.outputMs.map((at) => begin + at),
        endMs: begin + service.endMs,
        tokens: service.tokens,
      });
      clock += service.endMs;
      due[conversation] = clock;
    }
  }
  return { turns, serial: true };
});
process.exit(0);
