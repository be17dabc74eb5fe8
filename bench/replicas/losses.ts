import type { OctavoServer } from '../lib/octavo-server.js';
import type { Cell } from '../lib/report.js';
import { type ConversationOptions, converse, differing } from './conversations.js';
import { reset } from './replicas.js';

export const LOSS_COLUMNS = [
  'what happens',
  'requests',
  'streams that broke off',
  'errors before a stream began, which clients retry',
  'failed for good before they began',
  'texts that differ',
];

export interface Loss {
  readonly name: string;
  /** Of what stands in front of the replicas. */
  readonly url: string;
  readonly replicas: readonly OctavoServer[];
  /** Kills something. */
  readonly kill: () => Promise<void>;
}

/**
 * Kills something in the middle of a load on fresh caches.
 *
 * @param expected the texts of one server
 */
export async function withLoss(
  { name, url, replicas, kill }: Loss,
  load: ConversationOptions,
  expected: ReadonlyMap<string, string>,
): Promise<Cell[]> {
  process.stderr.write(`${name}\n`);
  await reset(replicas);
  const middle = (load.count * load.turns * load.answerTokens) / 2;
  let chunks = 0;
  const killed: Promise<void>[] = [];
  const onOutput = (): void => {
    chunks += 1;
    if (chunks > middle && killed.length === 0) killed.push(kill());
  };
  let retries = 0;
  const onRetry = (): void => void retries++;
  const results = await converse(url, { ...load, onOutput, onRetry });
  await Promise.all(killed);
  const failed = results.filter(({ error }) => error !== null);
  const begun = failed.filter(({ firstTokenMs }) => firstTokenMs !== null);
  return [
    name,
    results.length,
    begun.length,
    retries,
    failed.length - begun.length,
    differing(results, expected).length,
  ];
}
