import type { BlockHash } from '../../kvcache/ids.js';
import type { ErrorRecord } from '../errors.js';
import type { RedisTierSettings } from '../protocol/options.js';
import type { TierState } from '../protocol/reports.js';
import type { BlockKey, Mark } from './block-tier.js';

interface FarTierFormat {
  readonly bytesPerBlock: number;
  /** Identifies model, formats and layout. */
  readonly namespace: string;
}

/** What the thread of a far tier is started with. Plain data. */
export type FarTierOptions =
  | (FarTierFormat & {
      readonly kind: 'disk';
      readonly directory: string;
      readonly capacityBytes: number;
    })
  | (FarTierFormat &
      RedisTierSettings & {
        readonly kind: 'redis';
        /** False: what cannot be reached now may be reached later. */
        readonly mustAnswer: boolean;
      });

/** Contents are in shared memory: they are read and written in place. */
export type TierCommand =
  | { readonly call: 'has'; readonly id: number; readonly keys: readonly BlockKey[] }
  | {
      readonly call: 'mark' | 'marked';
      readonly id: number;
      readonly mark: Mark;
      readonly hashes: readonly BlockHash[];
    }
  | {
      readonly call: 'load' | 'store';
      readonly id: number;
      readonly keys: readonly BlockKey[];
      readonly contents: readonly Uint8Array[];
    }
  | { readonly call: 'clear' | 'close'; readonly id: number };

export type TierReply =
  | { readonly type: 'ready'; readonly stats: TierState; readonly hasMarks: boolean }
  /** Why the tier cannot be opened; the thread ends. */
  | { readonly type: 'failed'; readonly error: ErrorRecord }
  | {
      readonly type: 'answer';
      readonly id: number;
      /** One for each key; for `clear`, whether it has been done; empty for `close`. */
      readonly answers: readonly boolean[];
      readonly stats: TierState;
    }
  | { readonly type: 'log'; readonly line: string };
