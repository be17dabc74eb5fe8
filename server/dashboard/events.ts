import type { SequenceProgress } from '../../scheduler/sequence.js';
import type { Settings } from '../config/settings.js';
import type { BlockRun } from './block-runs.js';
import type { FigureValues } from './figures.js';

/** The events of `/dashboard/events` and their data. */
export interface DashboardEvents {
  /** Once, at first. */
  readonly server: ServerEvent;
  /** Once a second. */
  readonly figures: FigureValues;
  /** What has changed since the last one. */
  readonly snapshot: SnapshotEvent;
}

export interface ServerEvent {
  readonly model: string;
  readonly version: string;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly maxNumSeqs: number;
  readonly kvDtype: Settings['kvDtype'];
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
  /** So many entries of the block table that the reader has stay; `blocks` are those that follow. */
  readonly kept: number;
}
