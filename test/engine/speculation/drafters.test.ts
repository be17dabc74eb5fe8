import type { ModelDrafter } from '../../../engine/speculation/draft-model/model-drafter.js';
import type {
  ComputedDrafter,
  Drafter,
  SequenceDrafter,
} from '../../../engine/speculation/drafter.js';
import {
  NgramDrafter,
  PredictionDrafter,
  SuffixDrafter,
} from '../../../engine/speculation/lookup-drafters.js';
import { OutputArchive } from '../../../engine/speculation/output-archive.js';
import { describeDrafter } from '../../conformance/drafter.js';
import { pagedDrafter } from '../../support/draft-models.js';

const BOUNDS = { least: 2, longest: 8 };
const TEXT = { prompt: [1, 2, 3, 4, 5, 6, 7], output: [8, 9, 1, 2] };

/** Of all that are named; the others are given no length. */
const compute = (
  drafter: Drafter,
  of: readonly SequenceDrafter[],
  length: number,
): Promise<void> => {
  const lengths = of.map((each): [ComputedDrafter, number] => {
    const computed = each as ComputedDrafter;
    return [computed, Math.min(length, computed.room)];
  });
  return (drafter as ModelDrafter).compute(new Map(lengths));
};

describeDrafter('lookup in the own text', { ...TEXT, create: () => new NgramDrafter(BOUNDS) });
describeDrafter('lookup in ended outputs', {
  ...TEXT,
  create: () => new SuffixDrafter(BOUNDS, new OutputArchive(2, 1000)),
});
describeDrafter("the client's prediction", {
  ...TEXT,
  prediction: [8, 9, 1, 2, 5, 6, 7, 8, 9],
  create: () => new PredictionDrafter(BOUNDS),
});
describeDrafter('a draft model', {
  ...TEXT,
  create: () => pagedDrafter({ vocabSize: 10 }).drafter,
  compute,
});
