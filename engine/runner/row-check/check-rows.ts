import { OctavoError } from '../../errors.js';
import type { ImportedModel } from '../../importer/imported-model.js';
import type { LoadedSegment } from '../segment-session.js';
import { findMixer, type Mixer } from './find-mixer.js';
import { type Comparison, type Observation, observeRows } from './observe-rows.js';

/**
 * Differences, relative to a row's largest number, that exceed rounding. With the same number of
 * rows, kernels compute the same, except for experts, which get other rows along with a token's: no
 * graph of the fixtures differed by more than 1e-6, and a scale for a whole step differed by 1.4
 * and more. With fewer rows, other kernels run, which may round an 8-bit activation to another
 * number: by 0.05 at most.
 */
const TOLERANCE: Readonly<Record<Comparison, number>> = { 'others changed': 1e-3, alone: 0.2 };

/**
 * Checks that tokens of different sequences do not mix. A step is one row of tokens of many
 * sequences, so outside of attention no token may affect another. The segments are run, whatever
 * nodes they have, with a few tokens next to others, next to very different others, and alone. That
 * takes five passes of at most six tokens.
 *
 * @throws OctavoError `model_unsupported`: names the node that mixes sequences, and what to do
 */
export async function checkRows(
  model: ImportedModel,
  segments: readonly LoadedSegment[],
): Promise<void> {
  for await (const seen of observeRows(model, segments)) {
    if (seen.difference <= TOLERANCE[seen.comparison]) continue;
    const mixer = await findMixer(model, seen, TOLERANCE[seen.comparison]);
    throw new OctavoError('model_unsupported', message(model, seen, mixer));
  }
}

function message(
  { report }: ImportedModel,
  { tensor, segment }: Observation,
  mixer: Mixer | null,
): string {
  const consequence =
    "a request's text would depend on those that run beside it. Export the model so that, outside of attention, each token is computed by itself: " +
    'without padding or sizes taken from the whole input, positions from position_ids, scales for each token';
  if (!mixer) {
    return `${report.file}: ${tensor}, in segment ${segment}, changes with the other sequences in a step: ${consequence}`;
  }
  const { node, victim } = mixer;
  const reads = node.input.filter((name) => name !== '').join(', ');
  const through =
    node === victim
      ? ''
      : `, and node ${victim.name} (${victim.opType}) takes what is made of that for each of them`;
  return (
    `${report.file}: node ${node.name} (${node.opType}) reads ${reads} of all sequences in a step together${through}: ` +
    consequence
  );
}
