import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import type { Settings } from '../config/settings.js';
import type { InFlight } from '../http/in-flight.js';
import type { KeyTable } from '../keys/key-table.js';
import { Batches } from './batches.js';
import { createLineSender } from './line-sender.js';

/** Sequences of batches that may run at a time. */
export const batchSeatsOf = ({
  batchMaxNumSeqs,
  maxNumSeqs,
}: Pick<Settings, 'batchMaxNumSeqs' | 'maxNumSeqs'>): number =>
  Math.min(maxNumSeqs, batchMaxNumSeqs || Math.max(1, Math.floor(maxNumSeqs / 4)));

/** What the batches of a server are made of. */
export interface BatchParts {
  readonly settings: Settings;
  readonly keys: KeyTable;
  readonly inFlight: InFlight;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The batches of a server: they go on when it is ready, and stop when it drains, which then does
 * not wait for them.
 *
 * @returns null without `--batch-dir`
 * @throws OctavoError `usage` for a directory that cannot be used
 */
export function createBatches(app: FastifyInstance, parts: BatchParts): Batches | null {
  const { settings, keys, inFlight, clock, logger } = parts;
  if (settings.batchDir === undefined) return null;
  const batches = new Batches({
    directory: settings.batchDir,
    maxStorage: settings.maxBatchStorage,
    send: createLineSender(app, keys),
    clock,
    logger,
    concurrency: batchSeatsOf(settings),
  });
  app.addHook('onReady', async () => batches.start());
  inFlight.drainSignal.addEventListener('abort', () => void batches.stop(), { once: true });
  app.addHook('preClose', () => batches.stop());
  return batches;
}

/** What is said instead where there is no directory. */
export function refuseBatches(): never {
  const message =
    'files and batches need a directory: start the server with --batch-dir; octavo run-batch answers a file without a server';
  throw new OctavoError('batches_not_enabled', message);
}
