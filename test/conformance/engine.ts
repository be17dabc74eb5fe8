import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../engine/client/engine-port.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { plainRequest } from '../support/plain-request.js';
import { eventually } from '../support/test-server.js';

const LENGTH = 12;

/**
 * What every engine promises its callers. To be called with each.
 *
 * @param create an engine whose texts run to `maxTokens`, and that continues while its outputs are
 *   not read
 */
export function describeEngine(name: string, create: () => Promise<Engine>): void {
  describe(`${name}, as any engine`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await create();
    });
    afterAll(async () => engine.close());

    function request(ids: readonly string[]) {
      return plainRequest({
        ids: ids as readonly SequenceId[],
        promptTokenIds: [1, 3, 4] as number[] as TokenId[],
        maxTokens: LENGTH,
      });
    }

    async function read(stream: AsyncIterable<SequenceOutput>): Promise<SequenceOutput[]> {
      const outputs: SequenceOutput[] = [];
      for await (const output of stream) outputs.push(output);
      return outputs;
    }

    const idle = ({ stats }: Engine) => stats.running + stats.waiting + stats.paused === 0;

    it('gives a stream for each id; the last output of each, and no other, has a finish reason', async () => {
      const streams = engine.submit(request(['a', 'b', 'c']));
      expect(streams).toHaveLength(3);
      for (const outputs of await Promise.all(streams.map(read))) {
        const reasons = outputs.map(({ finishReason }) => finishReason);
        expect(reasons.slice(0, -1).filter((reason) => reason !== null)).toEqual([]);
        expect(reasons.at(-1)).toBe('length');
        expect(outputs.flatMap(({ tokenIds }) => tokenIds)).toHaveLength(LENGTH);
      }
      await eventually(() => idle(engine), 'nothing runs');
    });

    it('keeps what nobody has read yet', async () => {
      const [early, late] = engine.submit(request(['early', 'late']));
      await read(early);
      expect((await read(late)).flatMap(({ tokenIds }) => tokenIds)).toHaveLength(LENGTH);
    });

    it('ends every stream of an aborted signal with `abort`, and lets the request go', async () => {
      const controller = new AbortController();
      const streams = engine.submit(request(['a', 'b']), controller.signal);
      controller.abort();
      for (const outputs of await Promise.all(streams.map(read))) {
        expect(outputs.at(-1)?.finishReason).toBe('abort');
      }
      await eventually(() => idle(engine), 'nothing runs');
    });

    it('lets a stream go whose reader leaves, and serves the others', async () => {
      const [left, stays] = engine.submit(request(['left', 'stays']));
      for await (const _ of left) break;
      expect((await read(stays)).at(-1)?.finishReason).toBe('length');
      await eventually(() => idle(engine), 'nothing runs');
    });

    it('takes pauses of sequences that have ended, or never were', async () => {
      await Promise.all(engine.submit(request(['a'])).map(read));
      engine.pause(['a', 'nobody'] as SequenceId[]);
      engine.resume(['a', 'nobody'] as SequenceId[]);
      const [again] = engine.submit(request(['b']));
      expect((await read(again)).at(-1)?.finishReason).toBe('length');
    });

    it('forgets prefixes when nothing runs, and may be closed twice', async () => {
      await Promise.all(engine.submit(request(['a'])).map(read));
      await eventually(() => idle(engine), 'nothing runs');
      expect(await engine.resetPrefixCache()).toBe(true);
      await engine.close();
      await engine.close();
    });
  });
}
