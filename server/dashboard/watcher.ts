import type { EngineSnapshot } from '../../engine/protocol/reports.js';
import type { BlockMap } from '../../kvcache/block-map.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';
import type { BlockRun, RequestEvent, SnapshotEvent } from './events.js';

/** Sends one event. @returns once its reader takes more */
export type SendEvent = (name: string, data: object) => Promise<void>;

/**
 * One reader of the feed, which gets the changes of each snapshot. For a slow reader, snapshots are
 * skipped, not queued: at most two are held, the one that the reader has and the newest.
 */
export class Watcher {
  readonly #send: SendEvent;
  readonly #next = new Map<string, () => object>();
  #known: EngineSnapshot | null = null;
  #sending = false;

  constructor(send: SendEvent) {
    this.#send = send;
  }

  snapshot(snapshot: EngineSnapshot): void {
    this.event('snapshot', () => {
      const known = this.#known;
      this.#known = snapshot;
      return snapshotEvent(snapshot, known);
    });
  }

  /**
   * @param make called when it can be sent; not at all when a newer one of its name comes before
   */
  event(name: string, make: () => object): void {
    this.#next.set(name, make);
    if (!this.#sending) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#sending = true;
    for (let [next] = this.#next; next !== undefined; [next] = this.#next) {
      const [name, make] = next;
      this.#next.delete(name);
      await this.#send(name, make());
    }
    this.#sending = false;
  }
}

function snapshotEvent(snapshot: EngineSnapshot, known: EngineSnapshot | null): SnapshotEvent {
  const { time, blocks, requests, stats } = snapshot;
  const tables = new Map(known?.requests.map((request) => [request.ids[0], request.blocks]));
  return {
    time,
    runs: changedRuns(blocks, known?.blocks ?? null),
    requests: requests.map((request) => requestEvent(request, tables.get(request.ids[0]) ?? [])),
    waiting: stats.waiting,
  };
}

/** The block table as what follows the part that the reader has: tables grow at their end. */
function requestEvent(request: SequenceProgress, known: readonly number[]): RequestEvent {
  const { blocks, arrivalTime, ...rest } = request;
  let kept = 0;
  while (kept < known.length && kept < blocks.length && known[kept] === blocks[kept]) kept++;
  return { ...rest, arrivedAt: Math.round(arrivalTime), kept, blocks: blocks.slice(kept) };
}

/**
 * What has changed since a map that the reader has, in runs.
 *
 * @param known null: the reader has nothing yet
 */
export function changedRuns(map: BlockMap, known: BlockMap | null): BlockRun[] {
  const runs: BlockRun[] = [];
  const { length } = map.states;
  const isKnown = (block: number): boolean => known !== null && isSame(map, known, block);
  for (let block = 0; block < length; ) {
    const first = block++;
    if (isKnown(first)) continue;
    while (block < length && continues(map, block) && !isKnown(block)) block++;
    const { states, positions, allocatedAt, parents } = map;
    runs.push([
      first,
      block - first,
      states[first],
      positions[first],
      allocatedAt[first],
      parents[first],
    ]);
  }
  return runs;
}

function isSame(a: BlockMap, b: BlockMap, block: number): boolean {
  return (
    a.states[block] === b.states[block] &&
    a.allocatedAt[block] === b.allocatedAt[block] &&
    a.positions[block] === b.positions[block] &&
    a.parents[block] === b.parents[block]
  );
}

/** Whether a block goes on with the run of the one before it. */
function continues(map: BlockMap, block: number): boolean {
  const { states, positions, allocatedAt, parents } = map;
  const before = block - 1;
  if (states[block] !== states[before] || allocatedAt[block] !== allocatedAt[before]) return false;
  if (positions[block] === -1 || positions[before] === -1) {
    return positions[block] === positions[before];
  }
  return positions[block] === positions[before] + 1 && parents[block] === before;
}
