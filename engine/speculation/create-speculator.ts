import type { LookupSpeculation } from '../protocol/options.js';
import type { Drafter } from './drafter.js';
import { NgramDrafter, SuffixDrafter } from './lookup-drafters.js';
import { OutputArchive } from './output-archive.js';
import { type ComputingOptions, Speculator } from './speculator.js';
import { type MeasuredStep, StepCosts, TYPICAL_COSTS } from './step-costs.js';

/** Tokens of outputs that have ended that are kept to draft from: 32 MB at most. */
const ARCHIVE_TOKENS = 1_048_576;
/** Of drafts from clients' predictions and of forced texts, where no method is chosen. */
const PREDICTED_TOKENS = 16;

/** A method that was chosen. */
export type SpeculationMethod =
  | LookupSpeculation
  | { readonly maxDraftTokens: number; readonly computing: ComputingOptions };

/**
 * @param method null: only what clients predict and grammars force is drafted
 * @param measured steps of this model on this machine; null: none was measured
 * @param now monotonic, milliseconds
 */
export function createSpeculator(
  method: SpeculationMethod | null,
  measured: readonly MeasuredStep[] | null,
  now: () => number,
): Speculator {
  const common = { costs: new StepCosts(measured ?? TYPICAL_COSTS), now };
  if (method === null) return new Speculator({ ...common, ...NOTHING });
  const { maxDraftTokens } = method;
  return 'computing' in method
    ? new Speculator({ ...common, drafter: null, computing: method.computing, maxDraftTokens })
    : new Speculator({ ...common, drafter: drafterOf(method), maxDraftTokens });
}

const NOTHING = { drafter: null, maxDraftTokens: PREDICTED_TOKENS };

function drafterOf({ method, least, longest }: LookupSpeculation): Drafter {
  const bounds = { least, longest };
  switch (method) {
    case 'ngram':
      return new NgramDrafter(bounds);
    case 'suffix':
      return new SuffixDrafter(bounds, new OutputArchive(least, ARCHIVE_TOKENS));
  }
}
