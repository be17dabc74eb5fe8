import { decode } from '@msgpack/msgpack';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Dealer, Request, Subscriber } from 'zeromq';
import { freePort } from '../../../bench/lib/free-port.js';
import type { CacheEvent } from '../../../kvcache/cache-events.js';
import type { BlockHash } from '../../../kvcache/ids.js';
import {
  createZmqPublisher,
  type KvEventsOptions,
} from '../../../server/kv-events/zmq-publisher.js';
import { eventually } from '../../support/test-server.js';

const CLEARED: CacheEvent = { type: 'cleared' };
const END = '18446744073709551615';

async function publisherWith(options: Partial<KvEventsOptions> = {}) {
  const publisher = await createZmqPublisher({
    endpoint: '@tcp://127.0.0.1:*',
    replayEndpoint: 'tcp://127.0.0.1:*',
    topic: 'kv@pod@model',
    bufferSteps: 100,
    logger: pino({ level: 'silent' }),
    seconds: () => 12.5,
    ...options,
  });
  onTestFinished(() => publisher.close());
  return publisher;
}

/** A reader of live events: `[topic, number, batch]`. */
function reader(address: string, topic = '') {
  const socket = new Subscriber({ linger: 0 });
  onTestFinished(() => socket.close());
  const got: { topic: string; seq: number; batch: unknown }[] = [];
  socket.connect(address);
  socket.subscribe(topic);
  void (async () => {
    for await (const [name, seq, batch] of socket) {
      got.push({
        topic: name.toString(),
        seq: Number(seq.readBigUInt64BE()),
        batch: decode(batch),
      });
    }
  })();
  return got;
}

/** What the replay socket answers to a number, as text: `[topic, number]`, its end included. */
async function replay(address: string, start: bigint): Promise<string[][]> {
  const socket = new Dealer({ linger: 0 });
  onTestFinished(() => socket.close());
  socket.connect(address);
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(start);
  await socket.send(['', number]);
  const answers: string[][] = [];
  for await (const [empty, topic, seq] of socket) {
    expect(empty).toHaveLength(0);
    answers.push([topic.toString(), String(seq.readBigUInt64BE())]);
    if (answers.at(-1)?.[1] === END) break;
  }
  return answers;
}

describe('KV events over ZeroMQ', () => {
  it('reach readers of the topic, numbered from 0', async () => {
    const publisher = await publisherWith();
    const all = reader(publisher.source.endpoint);
    const other = reader(publisher.source.endpoint, 'kv@other');
    // A reader gets what is published after its subscription has arrived.
    await eventually(() => {
      publisher.publish([CLEARED]);
      return all.length > 0;
    }, 'the first event');
    publisher.publish([{ type: 'removed', group: 0, hashes: ['A'.repeat(43) as BlockHash] }]);
    // Behind what was published before the first had come.
    const isRemoval = ({ batch }: { batch: unknown }): boolean =>
      JSON.stringify(batch).includes('BlockRemoved');
    await eventually(() => all.some(isRemoval), 'the next event');
    expect(all[0]).toMatchObject({
      topic: 'kv@pod@model',
      batch: [12.5, [{ type: 'AllBlocksCleared' }], 0],
    });
    expect(all.at(-1)).toMatchObject({
      batch: [12.5, [{ type: 'BlockRemoved', block_hashes: [0] }], 0],
    });
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => all[0].seq + i));
    expect(other).toEqual([]);
  });

  it('are replayed from any number on, as far as they are kept', async () => {
    const publisher = await publisherWith({ bufferSteps: 3 });
    for (let i = 0; i < 5; i++) publisher.publish([CLEARED]);
    const address = publisher.source.replay_endpoint ?? '';
    const end = ['', END];
    const batch = (seq: number): string[] => ['kv@pod@model', String(seq)];
    expect(await replay(address, 0n)).toEqual([batch(2), batch(3), batch(4), end]);
    expect(await replay(address, 4n)).toEqual([batch(4), end]);
    expect(await replay(address, 9n)).toEqual([end]);
    expect(await replay(address, 2n ** 64n - 1n)).toEqual([end]);
  });

  it('are replayed to a client that may not send before it has its answer', async () => {
    const publisher = await publisherWith();
    publisher.publish([CLEARED]);
    const socket = new Request({ linger: 0 });
    onTestFinished(() => socket.close());
    socket.connect(publisher.source.replay_endpoint ?? '');
    await socket.send(Buffer.alloc(8));
    const [topic, seq] = await socket.receive();
    expect([topic.toString(), seq.readBigUInt64BE()]).toEqual(['kv@pod@model', 0n]);
  });

  it('ignore requests of another form', async () => {
    const publisher = await publisherWith();
    const address = publisher.source.replay_endpoint ?? '';
    const socket = new Dealer({ linger: 0 });
    onTestFinished(() => socket.close());
    socket.connect(address);
    for (const frames of [[''], ['', 'short'], ['x', Buffer.alloc(8)], ['', '', '', '']]) {
      await socket.send(frames);
    }
    publisher.publish([CLEARED]);
    expect(await replay(address, 0n)).toHaveLength(2);
  });

  it('connect to a reader that binds', async () => {
    const socket = new Subscriber({ linger: 0 });
    onTestFinished(() => socket.close());
    await socket.bind('tcp://127.0.0.1:*');
    socket.subscribe();
    const publisher = await publisherWith({ endpoint: socket.lastEndpoint ?? '' });
    const got: Buffer[][] = [];
    void socket.receive().then((frames) => got.push(frames));
    await eventually(() => {
      publisher.publish([CLEARED]);
      return got.length > 0;
    }, 'an event');
    expect(got[0]).toHaveLength(3);
  });

  it('tell an address that cannot be bound', async () => {
    const port = await freePort();
    const endpoint = `@tcp://127.0.0.1:${port}`;
    await publisherWith({ endpoint });
    await expect(publisherWith({ endpoint })).rejects.toMatchObject({
      kind: 'kv_events_unavailable',
      message: `--kv-events-endpoint ${endpoint}: cannot be bound: Address already in use`,
    });
  });
});
