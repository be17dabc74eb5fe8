import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../engine/client/engine-port.js';
import { createWorkerEngine } from '../../../engine/client/worker-engine.js';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import type { SequenceOutput } from '../../../engine/protocol/outputs.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { modelDir } from '../../support/model-dir.js';
import { plainRequest } from '../../support/plain-request.js';
import { eventually } from '../../support/test-server.js';

const OPTIONS: EngineOptions = {
  modelDir: fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url)),
  maxNumSeqs: 8,
  maxNumBatchedTokens: 64,
  blockSize: 16,
  kvCacheBytes: 16 * 2 ** 20,
  kvDtype: 'f32',
  maxModelLength: null,
  threads: 2,
  enablePrefixCaching: true,
  evictionPolicy: 'lru',
  schedulingPolicy: 'fcfs',
  longPrefillThreshold: 0,
  kvMetricsSampleRate: 0,
};

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
});

/** A real engine in a real thread, and that thread. */
async function start(
  options: Partial<EngineOptions> = {},
): Promise<{ engine: Engine; thread: Worker }> {
  const thread = new Promise<Worker>((resolve) => process.once('worker', resolve));
  const engine = await createWorkerEngine({ ...OPTIONS, ...options });
  engines.push(engine);
  return { engine, thread: await thread };
}

function request(ids: readonly string[], more: Partial<EngineRequest> = {}): EngineRequest {
  return plainRequest({
    ids: ids as readonly SequenceId[],
    promptTokenIds: [1, 300, 400, 500] as number[] as TokenId[],
    maxTokens: 12,
    sampling: { ...GREEDY, temperature: 1, seed: 5 },
    ...more,
  });
}

async function tokensOf(outputs: AsyncIterable<SequenceOutput>): Promise<TokenId[]> {
  const tokens: TokenId[] = [];
  for await (const output of outputs) tokens.push(...output.tokenIds);
  return tokens;
}

const idle = (engine: Engine) => (): boolean =>
  engine.stats.running === 0 && engine.stats.usedBlocks === 0;

describe('the engine in its thread', () => {
  it('gives each of n sequences what it gives the same seed alone', async () => {
    const { engine } = await start();
    const together = await Promise.all(engine.submit(request(['a', 'b', 'c'])).map(tokensOf));
    for (const [i, expected] of together.entries()) {
      const sampling = { ...GREEDY, temperature: 1, seed: 5 + i };
      const [alone] = engine.submit(request([`alone${i}`], { sampling }));
      expect(await tokensOf(alone)).toEqual(expected);
      expect(expected).toHaveLength(12);
    }
    await eventually(idle(engine), 'all blocks are free');
  });

  it('gives the results of a prompt once over the border, to all sequences of its request', async () => {
    const { engine } = await start();
    const streams = engine.submit(request(['a', 'b', 'c'], { promptLogprobs: 1 }));
    const firsts = await Promise.all(
      streams.map(async (stream) => {
        for await (const output of stream) return output.promptLogprobs;
        return undefined;
      }),
    );
    expect(firsts[0]).toHaveLength(3);
    for (const logprobs of firsts) expect(logprobs).toBe(firsts[0]);
  });

  it('says which token was the stop token', async () => {
    const { engine } = await start();
    const [token] = await tokensOf(engine.submit(request(['free'], { maxTokens: 1 }))[0]);
    const [stream] = engine.submit(request(['stopped'], { stopTokenIds: [token] }));
    const ends = [];
    for await (const { finishReason, stopToken } of stream) ends.push({ finishReason, stopToken });
    expect(ends.at(-1)).toEqual({ finishReason: 'stop', stopToken: token });
  });

  it('stops a sequence that nobody reads any more, and one whose signal is aborted', async () => {
    const { engine } = await start();
    const [left] = engine.submit(request(['left'], { maxTokens: 1500 }));
    for await (const output of left) {
      expect(output.finishReason).toBeNull();
      break;
    }
    const controller = new AbortController();
    const [aborted] = engine.submit(request(['aborted'], { maxTokens: 1500 }), controller.signal);
    const reasons: (string | null)[] = [];
    for await (const output of aborted) {
      reasons.push(output.finishReason);
      controller.abort();
    }
    expect(reasons.at(-1)).toBe('abort');
    await eventually(idle(engine), 'all blocks are free');
    // Each of them alone would have taken more.
    expect(engine.stats.steps).toBeLessThan(1400);
  });

  it('computes nothing for what is paused, counts what waits, and goes on with the same text', async () => {
    const { engine } = await start();
    let kept = 0;
    let pause = (): void => undefined;
    const meter = {
      // At the first output: a fast engine might be at its end before the test looks.
      add: (bytes: number) => {
        if (kept === 0) pause();
        kept += bytes;
      },
      release: (bytes: number) => void (kept -= bytes),
    };
    const more = { maxTokens: 400, logprobs: 5 };
    const alone = await tokensOf(engine.submit(request(['alone'], more))[0]);
    const [paused] = engine.submit(request(['paused'], more), undefined, meter);
    pause = () => engine.pause(['paused', 'nobody'] as unknown as SequenceId[]);
    await eventually(() => engine.stats.paused === 1, 'the pause');
    pause = () => undefined;
    const before = kept;
    expect(await tokensOf(engine.submit(request(['other'], more))[0])).toEqual(alone);
    expect([kept, engine.stats.paused]).toEqual([before, 1]);
    engine.resume(['paused'] as unknown as SequenceId[]);
    expect(await tokensOf(paused)).toEqual(alone);
    expect([kept, engine.stats.paused]).toEqual([0, 0]);
  });

  it('refuses what can never run, with the numbers', async () => {
    const { engine } = await start();
    const [outputs] = engine.submit(request(['big'], { maxTokens: 2045 }));
    await expect(tokensOf(outputs)).rejects.toMatchObject({
      kind: 'context_length_exceeded',
      message: expect.stringMatching(/2048 tokens.*you requested 2049 tokens/) as string,
    });
  });

  it('resets the prefix cache, but not under a running request', async () => {
    const { engine } = await start();
    const [running] = engine.submit(request(['r'], { maxTokens: 1500 }));
    for await (const _ of running) {
      expect(await engine.resetPrefixCache()).toBe(false);
      break;
    }
    await eventually(idle(engine), 'all blocks are free');
    expect(await engine.resetPrefixCache()).toBe(true);
  });

  it('fails every request when its thread does, and hangs on nothing', async () => {
    const { engine, thread } = await start();
    const streams = engine.submit(request(['a', 'b'], { maxTokens: 1500 })).map(tokensOf);
    const [late] = engine.submit(request(['c'], { maxTokens: 1500 }));
    await eventually(() => engine.stats.steps > 2, 'it runs');
    // A command that no code of ours sends: the loop throws. (Terminating a thread inside ONNX
    // Runtime's native call would end the whole process.)
    thread.postMessage({ type: 'submit', request: { ids: ['broken'] } });
    for (const stream of [...streams, tokensOf(late)]) {
      await expect(stream).rejects.toMatchObject({ kind: 'engine_failed' });
    }
    expect(engine.state).toBe('failed');
    await expect(tokensOf(engine.submit(request(['d']))[0])).rejects.toThrow(
      'the engine has failed',
    );
    await expect(engine.resetPrefixCache()).rejects.toThrow('the engine has failed');
  });

  it('says what keeps a model from being loaded', async () => {
    await expect(createWorkerEngine({ ...OPTIONS, modelDir: modelDir({}) })).rejects.toMatchObject({
      kind: 'model_file_missing',
    });
    await expect(createWorkerEngine({ ...OPTIONS, kvCacheBytes: 2 ** 20 })).rejects.toMatchObject({
      kind: 'kv_pool_too_small',
    });
  });
});
