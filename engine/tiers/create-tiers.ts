import { createHash } from 'node:crypto';
import { access, constants, mkdir } from 'node:fs/promises';
import { packageVersion } from '../environment/package-root.js';
import { OctavoError } from '../errors.js';
import type { TierOptions } from '../protocol/options.js';
import { MemoryTier } from './memory-tier.js';
import { ThreadedTier } from './threaded-tier.js';
import { HEAD_BYTES } from './tier-record.js';
import {
  type FarTier,
  TieredCache,
  type TieredCacheOptions,
  type TierWaits,
} from './tiered-cache.js';

export interface TierParts
  extends Pick<TieredCacheOptions, 'pages' | 'history' | 'now'>,
    TierWaits {
  /** Identifies model and page format. */
  readonly modelFingerprint: string;
  /** How layers share the pages of a block, as plain data; the fingerprint has their format. */
  readonly layout: unknown;
  /** Whether an earlier engine of this process had them: what is gone now may come back. */
  readonly isRestart: boolean;
  /** Receives lines that the operator should see. */
  readonly log: (line: string) => void;
}

/**
 * @throws OctavoError `usage` when a tier is too small, `kv_cache_dir_unusable` when files cannot
 *   be kept, `redis_unreachable`
 */
export async function createTiers(options: TierOptions, parts: TierParts): Promise<TieredCache> {
  const { pages, history, now, patienceMs, loadTimes, log, isRestart } = parts;
  const { bytesPerBlock } = pages;
  const { hostMemoryBytes, disk, redis } = options;
  const memory = new MemoryTier({ capacityBytes: hostMemoryBytes, bytesPerBlock });
  const namespace = namespaceOf(parts);
  const far: FarTier[] = [];
  if (disk) {
    assertSize('--kv-cache-disk', disk.capacityBytes, bytesPerBlock);
    await assertWritable(disk.directory);
    const format = { kind: 'disk' as const, bytesPerBlock, namespace };
    far.push({ tier: await ThreadedTier.start({ ...disk, ...format }, log), keeps: 'all' });
  }
  if (redis) {
    assertSize('--kv-tier-memory', redis.capacityBytes, bytesPerBlock);
    const format = { kind: 'redis' as const, bytesPerBlock, namespace, mustAnswer: !isRestart };
    far.push({ tier: await ThreadedTier.start({ ...redis, ...format }, log), keeps: 'reused' });
  }
  return new TieredCache({ pages, history, now, memory, far, patienceMs, loadTimes });
}

/**
 * Identifies all that decides what the bytes of a content mean. The hash of a content does that for
 * the model already; its bytes depend on the order of pages in a block besides, and on the code
 * that has made them.
 */
function namespaceOf({ modelFingerprint, layout, pages }: TierParts): string {
  const identity = [modelFingerprint, layout, pages.bytesPerBlock, packageVersion()];
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
}

function assertSize(flag: string, capacityBytes: number, bytesPerBlock: number): void {
  const fileBytes = bytesPerBlock + HEAD_BYTES;
  if (capacityBytes >= fileBytes) return;
  throw new OctavoError(
    'usage',
    `${flag} ${capacityBytes}: holds no block of the KV cache; must be at least ${fileBytes} bytes`,
    { param: flag },
  );
}

async function assertWritable(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new OctavoError(
      'kv_cache_dir_unusable',
      `--kv-cache-dir ${directory}: must be a directory that can be read and written (${reason})`,
      { param: '--kv-cache-dir', cause },
    );
  }
}
