import { describe, expect, it } from 'vitest';
import { EncoderLoop } from '../../../engine/encoder/encoder-loop.js';
import type { EncoderInput } from '../../../engine/encoder/encoder-runner.js';
import { OctavoError } from '../../../engine/errors.js';
import type { EngineMessage } from '../../../engine/protocol/messages.js';
import type { EngineInfo } from '../../../engine/protocol/options.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { plainRequest } from '../../support/plain-request.js';

const INFO: EngineInfo = {
  vocabSize: 100,
  hiddenSize: 1,
  maxModelLength: 300,
  device: 'cpu',
  kvDtype: 'f32',
  blockSize: 1,
  numBlocks: 0,
  evictionPolicy: 'lru',
  maxNumBatchedTokens: 512,
  encoder: { task: 'embed' },
};

const text = (id: string, length: number, more: Partial<EngineRequest> = {}): EngineRequest =>
  plainRequest({
    ids: [id as SequenceId],
    promptTokenIds: Array.from({ length }, () => 7 as TokenId),
    pooling: 'model',
    ...more,
  });

/** A loop over an encoder that gives each text its length. */
function harness(options: { usesPriority?: boolean; runsAlone?: boolean } = {}) {
  const messages: EngineMessage[] = [];
  const batches: number[][] = [];
  let beforeBatch = (): void => undefined;
  const encode = async (inputs: readonly EncoderInput[]): Promise<Float32Array[]> => {
    batches.push(inputs.map(({ tokenIds }) => tokenIds.length));
    beforeBatch();
    if (inputs.some(({ tokenIds }) => tokenIds.length === 13)) {
      throw new OctavoError('engine_failed', 'texts cannot be computed');
    }
    return inputs.map(({ tokenIds }) => Float32Array.of(tokenIds.length));
  };
  let time = 0;
  const loop = new EncoderLoop(
    {
      encode,
      isPacked: false,
      runsAlone: options.runsAlone ?? false,
      config: {} as never,
      task: 'embed',
      width: 1,
      notes: [],
      release: () => Promise.resolve(),
    },
    INFO,
    {
      maxNumSeqs: 8,
      usesPriority: options.usesPriority ?? false,
      send: (message) => void messages.push(message),
      now: () => time++,
    },
  );
  return {
    loop,
    batches,
    messages,
    onBatch: (listener: () => void) => {
      beforeBatch = listener;
    },
    outputs: () => messages.flatMap((message) => (message.type === 'step' ? message.outputs : [])),
    refused: () => messages.flatMap((message) => (message.type === 'refused' ? [message] : [])),
    end: async () => {
      const ended = loop.run();
      do await new Promise((resolve) => setImmediate(resolve));
      while (loop.stats.waiting + loop.stats.running > 0);
      loop.post({ type: 'close' });
      await ended;
    },
  };
}

describe('EncoderLoop', () => {
  it('computes what waits in batches of similar length, the oldest text first', async () => {
    const { loop, batches, outputs, end } = harness();
    for (const [index, length] of [200, 20, 210, 22].entries()) {
      loop.post({ type: 'submit', request: text(`t${index}`, length) });
    }
    expect(loop.stats).toMatchObject({ waiting: 4, running: 0 });
    await end();
    expect(batches).toEqual([
      [200, 210],
      [20, 22],
    ]);
    const all = outputs();
    expect(all.map(({ id, embedding }) => [id, embedding?.[0]])).toEqual([
      ['t0', 200],
      ['t2', 210],
      ['t1', 20],
      ['t3', 22],
    ]);
    expect(all[0]).toMatchObject({ finishReason: 'stop', tokenIds: [], cachedTokens: 0 });
    expect(all[0]?.times?.queued).toBeGreaterThan(0);
    expect(loop.stats).toMatchObject({ waiting: 0, running: 0, steps: 2 });
  });

  it('takes texts of smaller priority first where the policy says so, else in order', async () => {
    for (const usesPriority of [true, false]) {
      const { loop, batches, end } = harness({ usesPriority });
      loop.post({ type: 'submit', request: text('late', 100, { priority: 1 }) });
      loop.post({ type: 'submit', request: text('early', 250, { priority: -1 }) });
      await end();
      expect(batches).toEqual(usesPriority ? [[250], [100]] : [[100], [250]]);
    }
  });

  it('computes texts one at a time for a graph that mixes them', async () => {
    const { loop, batches, end } = harness({ runsAlone: true });
    for (const id of ['a', 'b']) loop.post({ type: 'submit', request: text(id, 5) });
    await end();
    expect(batches).toEqual([[5], [5]]);
  });

  it('forgets a text that was aborted, before its batch and in it', async () => {
    const { loop, batches, outputs, onBatch, end } = harness();
    for (const id of ['a', 'b', 'c']) loop.post({ type: 'submit', request: text(id, 5) });
    loop.post({ type: 'abort', id: 'a' as SequenceId });
    onBatch(() => loop.post({ type: 'abort', id: 'b' as SequenceId }));
    await end();
    expect(batches).toEqual([[5, 5]]);
    expect(outputs().map(({ id }) => id)).toEqual(['c']);
  });

  it('fails the texts that cannot be computed, and goes on with others', async () => {
    const { loop, refused, outputs, end } = harness();
    loop.post({ type: 'submit', request: text('bad', 13) });
    loop.post({ type: 'submit', request: text('good', 200) });
    await end();
    expect(refused()).toMatchObject([{ ids: ['bad'], error: { kind: 'engine_failed' } }]);
    expect(outputs().map(({ id }) => id)).toEqual(['good']);
  });

  it.each([
    ['generation', text('x', 5, { pooling: null }), 'task_unsupported'],
    ["a decoder's pooling", text('x', 5, { pooling: 'mean' }), 'task_unsupported'],
    ['no tokens', text('x', 0), 'invalid_request'],
    ['alien tokens', text('x', 1, { promptTokenIds: [100 as TokenId] }), 'invalid_request'],
    ['a long text', text('x', 301), 'context_length_exceeded'],
  ])('refuses %s', async (_, request, kind) => {
    const { loop, refused, batches, end } = harness();
    loop.post({ type: 'submit', request });
    await end();
    expect(refused()).toMatchObject([{ ids: ['x'], error: { kind } }]);
    expect(batches).toEqual([]);
  });

  it('answers a reset, and shows what waits while it is watched', async () => {
    const { loop, messages, end } = harness();
    loop.post({ type: 'resetPrefixCache', tiers: false });
    loop.post({ type: 'watch', on: true });
    loop.post({ type: 'submit', request: text('a', 5) });
    await end();
    expect(messages).toContainEqual({ type: 'prefixCacheReset', done: true });
    const [first] = messages.flatMap((m) => (m.type === 'snapshot' ? [m.snapshot] : []));
    expect(first?.requests).toMatchObject([{ ids: ['a'], state: 'waiting', promptTokens: 5 }]);
    expect(first?.blocks.states.length).toBe(0);
  });
});
