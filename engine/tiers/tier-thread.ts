import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '../errors.js';
import type { BlockTier } from './block-tier.js';
import { DiskTier } from './disk-tier.js';
import { connectTier } from './redis-connection.js';
import { RedisTier } from './redis-tier.js';
import type { FarTierOptions, TierCommand, TierReply } from './thread-messages.js';

// One far tier, in a thread of its own: files, sockets and digests never take the engine's time.

const port = parentPort;
if (!port) throw new Error('a far tier works in a worker thread');
const reply = (message: TierReply): void => port.postMessage(message);
const log = (line: string): void => reply({ type: 'log', line });

async function openTier(options: FarTierOptions): Promise<BlockTier> {
  const now = (): number => performance.now();
  if (options.kind === 'disk') return DiskTier.open({ ...options, now, log });
  const redis = await connectTier(options.url, options.mustAnswer, options.tls);
  return new RedisTier({ ...options, redis, now, wallClock: () => Date.now(), log });
}

async function answer(tier: BlockTier, command: TierCommand): Promise<readonly boolean[]> {
  switch (command.call) {
    case 'has':
      return tier.has(command.keys);
    case 'load':
      return tier.load(command.keys, command.contents);
    case 'store':
      return tier.store(command.keys, command.contents);
    case 'mark':
      return tier.marks?.mark(command.mark, command.hashes) ?? [];
    case 'marked':
      return tier.marks?.marked(command.mark, command.hashes) ?? [];
    case 'clear':
      return [await tier.clear()];
    case 'close':
      await tier.close();
      return [];
  }
}

async function serve(tier: BlockTier, command: TierCommand): Promise<void> {
  const answers = await answer(tier, command);
  reply({ type: 'answer', id: command.id, answers, stats: tier.stats });
  if (command.call === 'close') port?.close();
}

try {
  const tier = await openTier(workerData as FarTierOptions);
  port.on('message', (command: TierCommand) => void serve(tier, command));
  reply({ type: 'ready', stats: tier.stats, hasMarks: tier.marks !== undefined });
} catch (error) {
  reply({ type: 'failed', error: toErrorRecord(error) });
}
