import { expect, it } from 'vitest';
import {
  type RestartableEngine,
  RestartingEngine,
} from '../../../engine/client/restarting-engine.js';
import { OctavoError } from '../../../engine/errors.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { bytesOf } from '../../support/byte-model.js';
import { plainRequest } from '../../support/plain-request.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually } from '../../support/test-server.js';

class Mortal extends ScriptedEngine implements RestartableEngine {
  #end: (reason: OctavoError | null) => void = () => undefined;
  readonly ended = new Promise<OctavoError | null>((resolve) => {
    this.#end = resolve;
  });

  constructor() {
    super(() => ({ steps: [bytesOf('a')], finish: 'length' }));
  }

  fail(): void {
    this.state = 'failed';
    this.#end(new OctavoError('engine_failed', 'broken'));
  }
}

/** Engines that are made one after another, each when `next` is called. */
function setUp(restarts = 1) {
  const made = [new Mortal()];
  const failures: unknown[] = [];
  let next: (result: Mortal | Error) => void = () => undefined;
  const engine = new RestartingEngine(made[0], {
    create: () =>
      new Promise((resolve, reject) => {
        next = (result) => {
          if (result instanceof Error) return reject(result);
          made.push(result);
          resolve(result);
        };
      }),
    restarts,
    onFailure: (reason) => failures.push(reason.message),
    onRestartFailed: (error) => failures.push(error),
  });
  return { engine, made, failures, next: (result: Mortal | Error) => next(result) };
}

const ask = async (engine: RestartingEngine): Promise<number[]> => {
  const tokens: number[] = [];
  const [stream] = engine.submit(plainRequest({ ids: ['x' as SequenceId] }));
  for await (const { tokenIds } of stream) tokens.push(...tokenIds);
  return tokens;
};

it('replaces an engine that has failed, once', async () => {
  const { engine, made, failures, next } = setUp();
  const steps: number[] = [];
  engine.onStep(({ numTokens }) => steps.push(numTokens));
  const restarts: string[] = [];
  engine.onRestart(() => restarts.push(engine.state));
  expect(await ask(engine)).toEqual(bytesOf('a'));
  made[0].fail();
  expect(engine.state).toBe('restarting');
  await expect(ask(engine)).rejects.toMatchObject({ kind: 'engine_restarting' });
  await expect(engine.resetPrefixCache()).rejects.toMatchObject({ kind: 'engine_restarting' });
  await eventually(() => failures.length === 1, 'the failure is told');
  next(new Mortal());
  expect(engine.restarts).toBe(0);
  await eventually(() => engine.state === 'ready', 'the new engine is there');
  expect(engine.restarts).toBe(1);
  expect(await ask(engine)).toEqual(bytesOf('a'));
  expect(restarts).toEqual(['ready']);
  engine.unpin('a');
  expect([made[0].unpinned, made[1].unpinned]).toEqual([[], ['a']]);
  const timings = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };
  for (const listen of made[1].stepListeners) listen({ numTokens: 3, timings, residency: null });
  expect(steps).toEqual([3]);
  made[1].fail();
  expect(engine.state).toBe('failed');
  await eventually(() => failures.length === 2, 'the second failure is told');
  expect(failures).toEqual(['broken', 'broken']);
});

it('fails for good when the restart does', async () => {
  const { engine, made, failures, next } = setUp(3);
  made[0].fail();
  await eventually(() => failures.length === 1, 'the failure is told');
  engine.onRestart(() => failures.push('restarted'));
  next(new Error('the model is gone'));
  await eventually(() => engine.state === 'failed', 'it has given up');
  expect(failures.at(-1)).toMatchObject({ message: 'the model is gone' });
});

it('closes the engine that is being made, too', async () => {
  const { engine, made, next } = setUp();
  made[0].fail();
  await eventually(() => engine.state === 'restarting', 'restart');
  await new Promise((resolve) => setImmediate(resolve));
  const closed = engine.close();
  next(new Mortal());
  await closed;
  expect(made[1].closed).toBe(true);
});

it('tells readers of the cache that it is gone, and then what the new engine caches', async () => {
  const { engine, made, failures, next } = setUp();
  const seen: string[] = [];
  const stop = engine.onCacheEvents((events) => seen.push(...events.map(({ type }) => type)));
  const removed = { type: 'removed', group: 0, hashes: [] } as const;
  for (const listen of made[0].cacheListeners) listen([removed]);
  made[0].fail();
  await eventually(() => failures.length === 1, 'the failure is told');
  next(new Mortal());
  await eventually(() => engine.state === 'ready', 'the new engine is there');
  for (const listen of made[1].cacheListeners) listen([removed]);
  expect(seen).toEqual(['removed', 'cleared', 'removed']);
  stop();
  for (const listen of made[1].cacheListeners) listen([removed]);
  expect(seen).toHaveLength(3);
});

it('keeps those who watch over a restart', async () => {
  const { engine, made, failures, next } = setUp();
  const seen: number[] = [];
  const unwatch = engine.watch(({ time }) => seen.push(time));
  expect(made[0].watchers.size).toBe(1);
  made[0].fail();
  await eventually(() => failures.length === 1, 'the failure is told');
  next(new Mortal());
  await eventually(() => engine.state === 'ready', 'the new engine is there');
  const blocks = {
    states: new Uint8Array(),
    positions: new Int32Array(),
    parents: new Int32Array(),
    allocatedAt: new Float64Array(),
  };
  for (const watch of made[1].watchers) {
    watch({ time: 3, stats: made[1].stats, blocks, requests: [] });
  }
  expect(seen).toEqual([3]);
  unwatch();
  expect(made[1].watchers.size).toBe(0);
});
