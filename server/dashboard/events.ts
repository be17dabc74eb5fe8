import type { Engine } from '../../engine/client/engine-port.js';
import type { EngineInfo } from '../../engine/protocol/options.js';
import type { TierStats } from '../../engine/protocol/reports.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';
import type { Settings } from '../config/settings.js';
import type { EndedRequest } from './history.js';
import type { Sample, SampleField } from './sample.js';

/**
 * Blocks that follow each other and were allocated together: first block, count, state, place of
 * the first in its sequence (the next ones have the next places; -1: none has), allocation time,
 * parent of the first (each other's is the block before it).
 */
export type BlockRun = readonly [
  first: number,
  count: number,
  state: number,
  position: number,
  allocatedAt: number,
  parent: number,
];

/**
 * The events of `/dashboard/events` and their data: `server`, `figures` and `snapshot` of one
 * model, or `overview` and `models` of all.
 */
export interface DashboardEvents {
  /** Once, at first. */
  readonly overview: OverviewEvent;
  /** At once, with the past, and then each second. */
  readonly models: ModelsEvent;
  /** Once, at first. */
  readonly server: ServerEvent;
  /** At once, with the past, and then each second. */
  readonly figures: FiguresEvent;
  /** What has changed since the last one. */
  readonly snapshot: SnapshotEvent;
}

export interface OverviewEvent {
  /** What the numbers of a sample are, in their order. */
  readonly fields: readonly SampleField[];
}

export interface ModelsEvent {
  /** The server's clock now, milliseconds. */
  readonly time: number;
  /** In the order of the server's models. */
  readonly models: readonly ModelFigures[];
}

export interface ModelFigures {
  readonly name: string;
  readonly state: 'unloaded' | 'loading' | 'loaded' | 'unloading' | 'failed';
  /** Memory that it takes, or would take; null: not known before it was loaded. */
  readonly bytes: number | null;
  /** Milliseconds until it is unloaded if no request asks for it; null: it is not. */
  readonly expiresIn: number | null;
  /** Why it could not be loaded; null: it could, or was not tried. */
  readonly failure: string | null;
  /** Requests that wait until it is loaded. */
  readonly waiters: number;
  /** Of its KV cache; null: it is not loaded. */
  readonly numBlocks: number | null;
  /** What the reader does not have yet, oldest first. */
  readonly samples: readonly Sample[];
}

export interface ServerEvent {
  readonly model: string;
  /** All of the server's. */
  readonly models: readonly string[];
  readonly version: string;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly maxNumSeqs: number;
  readonly kvDtype: EngineInfo['kvDtype'];
  /** The GPU that computes; absent on the CPU. */
  readonly gpu?: {
    readonly name: string;
    /** Bytes; null: not known. */
    readonly memory: number | null;
    /** Bytes of its memory that the KV cache takes. */
    readonly kvCache: number;
  };
  readonly evictionPolicy: EngineInfo['evictionPolicy'];
  readonly schedulingPolicy: Settings['schedulingPolicy'];
  /** The server's clock now, milliseconds. */
  readonly time: number;
  /** What the numbers of a sample are, in their order. */
  readonly fields: readonly SampleField[];
}

/** What the reader does not have yet, oldest first. */
export interface FiguresEvent {
  readonly state: Engine['state'];
  readonly samples: readonly Sample[];
  readonly ended: readonly EndedRequest[];
  /** Tiers behind the KV cache, the nearest first, as of now; absent: there are none. */
  readonly tiers?: readonly TierStats[];
}

export interface SnapshotEvent {
  /** On the engine's clock, milliseconds. */
  readonly time: number;
  readonly runs: readonly BlockRun[];
  /** In order of service. */
  readonly requests: readonly RequestEvent[];
  readonly waiting: number;
}

export interface RequestEvent extends Omit<SequenceProgress, 'arrivalTime'> {
  readonly arrivedAt: number;
  /**
   * So many entries of the block table that the reader has stay; `blocks` are those that follow.
   */
  readonly kept: number;
}
