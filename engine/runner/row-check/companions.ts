import { Tensor } from 'onnxruntime-node';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { ScheduledSequence, StepPlan } from '../../../scheduler/step-plan.js';
import type { LogitsQuery } from '../../decoding/logits-query.js';
import { type CutSite, isRecurrent } from '../../importer/imported-model.js';
import { noise } from '../../noise.js';
import { outputWidth } from '../../recurrent/recurrence.js';
import type { Rows } from './token-rows.js';

const OWN = 2;
const BESIDE = 2;
/**
 * Magnitude of the attention's outputs for the other sequences: where a step shares a scale, small
 * numbers lose all precision.
 */
const LOUD = 1000;

/** A step with the observed sequence in it, and made-up outputs of sites. */
export interface Company {
  readonly plan: StepPlan;
  /** Of the watched sequence. */
  readonly rows: Rows;
  readonly attended: (site: CutSite) => Tensor;
}

type Distance = 'near' | 'far';

export interface CompanyOptions {
  /** Of the watched sequence. */
  readonly own: Distance;
  /** Null when it is alone. */
  readonly others: Distance | null;
  readonly vocabSize: number;
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
}

/**
 * A step of three sequences, with the observed one in the middle, so that an effect of earlier and
 * of later ones shows. The others differ in every respect: tokens, positions, lengths, and
 * magnitude of numbers.
 */
export function inCompany(options: CompanyOptions): Company {
  const { own, others, servedLength } = options;
  const far = (count: number): number => Math.max(0, servedLength - count);
  const watched: Part = {
    seed: 1,
    count: OWN,
    // (A position at which rotary angles are neither tiny nor full turns.)
    past: own === 'near' ? Math.min(37, far(OWN)) : far(OWN),
    loudness: 1,
  };
  const beside = (seed: number, past: number, loudness: number): Part => ({
    seed,
    count: BESIDE,
    past,
    loudness,
  });
  const parts =
    others === null
      ? [watched]
      : others === 'near'
        ? [beside(2, 0, 1), watched, beside(3, Math.min(5, far(BESIDE)), 1)]
        : [beside(4, far(BESIDE), LOUD), watched, beside(5, Math.floor(far(BESIDE) * 0.6), LOUD)];
  const total = parts.reduce((n, { count }) => n + count, 0);
  return {
    plan: {
      sequences: parts.map((part, i) => scheduled(part, i, options.vocabSize)),
      numTokens: total,
      blockCopies: [],
    },
    rows: { start: parts.length === 1 ? 0 : BESIDE, count: OWN, total },
    attended: (site) => attended(site, parts, total),
  };
}

/** Whole logits and hidden states of all rows. */
export function everyRow(numTokens: number): LogitsQuery {
  const rows = Array.from({ length: numTokens }, (_, row) => row);
  return {
    logitRows: rows,
    topK: 1,
    targetIds: rows.map(() => 0),
    fullRows: rows,
    softmaxSums: { rows: [], temperatures: [], coverMasses: [], cutoffRatios: [] },
    hiddenRows: rows,
  };
}

interface Part {
  readonly seed: number;
  readonly count: number;
  readonly past: number;
  readonly loudness: number;
}

function scheduled(
  { seed, count, past }: Part,
  index: number,
  vocabSize: number,
): ScheduledSequence {
  const next = noise(seed);
  return {
    id: `${index}` as SequenceId,
    tokenIds: Array.from(
      { length: count },
      () => Math.floor(((next() + 1) / 2) * vocabSize) as TokenId,
    ),
    numComputed: past,
    sequenceLength: past + count,
    numProposed: 0,
    blockTables: [[]],
    adapter: null,
    sampledFor: [],
  };
}

function attended(site: CutSite, parts: readonly Part[], total: number): Tensor {
  const isState = isRecurrent(site);
  const width = isState ? outputWidth(site.recurrence) : site.numHeads * site.headSize;
  const data = new Float32Array(total * width);
  let at = 0;
  for (const { seed, count, loudness } of parts) {
    const place = 1000 * (site.layer + 1) + (isState ? 500 : 0) + seed;
    const next = noise(Math.imul(place, 2654435761));
    for (let i = 0; i < count * width; i++) data[at++] = loudness * next();
  }
  if (!isState || site.recurrence.kind !== 'convolution') {
    return new Tensor('float32', data, [1, total, width]);
  }
  const channels = Float32Array.from(
    data,
    (_, i) => data[(i % total) * width + Math.floor(i / total)],
  );
  return new Tensor('float32', channels, [1, width, total]);
}
