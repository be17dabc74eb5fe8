import { readFileSync } from 'node:fs';
import { Encoder } from '@msgpack/msgpack';
import { expect, it } from 'vitest';
import type { CacheEvent, StoredBlocks } from '../../../kvcache/cache-events.js';
import { FULL_ATTENTION } from '../../../kvcache/cache-group.js';
import type { BlockHash } from '../../../kvcache/ids.js';
import { encodeBatch } from '../../../server/kv-events/event-batch.js';

const GOLDEN = new URL('../../fixtures/kv-events/golden.json', import.meta.url);
const golden = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Record<string, string>;
const encoder = new Encoder({ useBigInt64: true });

/** 32 bytes that count up from `first`, as in golden.py. */
const hash = (first: number): BlockHash =>
  Buffer.from(Array.from({ length: 32 }, (_, i) => first + i)).toString('base64') as BlockHash;

const stored = (event: Partial<StoredBlocks>): StoredBlocks => ({
  type: 'stored',
  group: 0,
  kind: FULL_ATTENTION,
  index: 0,
  parent: null,
  hashes: [],
  tokenIds: [],
  scope: { adapter: null, cacheSalt: null },
  contents: [],
  ...event,
});

const encoded = (seconds: number, ...events: CacheEvent[]): string =>
  Buffer.from(encodeBatch(events, seconds, encoder)).toString('hex');

it("is vLLM's encoding of stored blocks, byte for byte", () => {
  const event = stored({
    hashes: [hash(0), hash(100)],
    tokenIds: [0, 1, 127, 128, 255, 256, 65535, 151936],
  });
  expect(encoded(1764532801.25, event)).toBe(golden['stored']);
});

it('tells adapter, contents and, in the first block, the salt', () => {
  const event = stored({
    hashes: [hash(7), hash(9)],
    tokenIds: [1, 2, 3, 4],
    scope: { adapter: 'poet', cacheSalt: 'secret' },
    contents: [{ start: 1, end: 2, key: 'image' }],
  });
  expect(encoded(1764532801.5, event)).toBe(golden['salted']);
});

it('tells windows, removals and resets', () => {
  const event = stored({
    group: 1,
    kind: { kind: 'sliding-window', window: 512 },
    index: 1,
    parent: hash(4),
    hashes: [hash(5)],
    tokenIds: Array.from({ length: 16 }, (_, i) => 300 + i),
  });
  const removed = { type: 'removed', group: 1, hashes: [hash(1), hash(2)] } as const;
  expect(encoded(1764532802.125, event, removed, { type: 'cleared' })).toBe(golden['window']);
});
