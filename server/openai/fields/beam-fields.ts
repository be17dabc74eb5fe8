import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { BeamParams, EngineRequest } from '../../../engine/protocol/request.js';
import type { RepetitionFields } from './repetition-detection.js';
import { Nullable } from './request-fields.js';

/** vLLM's words, with the meaning that transformers gives them. */
export const BEAM_FIELDS = {
  use_beam_search: Nullable(Type.Boolean()),
  /** Number of beams; otherwise `n`. */
  best_of: Nullable(Type.Integer({ minimum: 1, maximum: 128 })),
  length_penalty: Nullable(Type.Number({ minimum: -10, maximum: 10 })),
  early_stopping: Nullable(Type.Union([Type.Boolean(), Type.Literal('never')])),
};

const BeamSchema = Type.Object(BEAM_FIELDS);

type BeamFields = Static<typeof BeamSchema>;

/**
 * Fields that say how tokens are chosen or where texts end, each with the values that say nothing:
 * beam search chooses by log-probabilities alone, and knows no text before its end.
 */
const NEUTRAL = {
  temperature: [0, 1],
  top_p: [1],
  top_k: [0, -1],
  min_p: [0],
  typical_p: [1],
  presence_penalty: [0],
  frequency_penalty: [0],
  repetition_penalty: [1],
} as const satisfies Readonly<Record<string, readonly number[]>>;

/** What the rest of a request says that does not go together with beams. */
interface BesideBeams extends Partial<Record<keyof typeof NEUTRAL, number | null>> {
  readonly stream?: boolean | null;
  readonly stop?: string | readonly string[] | null;
  readonly logit_bias?: Readonly<Record<string, number>> | null;
  readonly allowed_token_ids?: readonly number[] | null;
  readonly bad_words?: readonly string[] | null;
  readonly thinking_token_budget?: number | null;
  readonly repetition_detection?: RepetitionFields | null;
}

/**
 * @param n outputs of each prompt
 * @param grammar of the output; null for none
 * @returns nothing for a request that is sampled
 * @throws OctavoError `invalid_request` for fields that do not go together with beam search, and
 *   for its fields without it
 */
export function beamsOf(
  body: BeamFields & BesideBeams,
  n: number,
  grammar: EngineRequest['grammar'],
): { readonly beams?: BeamParams } {
  const { length_penalty: lengthPenalty, early_stopping: earlyStopping } = body;
  if (body.use_beam_search !== true) {
    if ((lengthPenalty ?? 1) !== 1) refuseAlone('length_penalty');
    if ((earlyStopping ?? false) !== false) refuseAlone('early_stopping');
    return {};
  }
  for (const field of conflicts(body)) {
    const message = `${field} is not possible with use_beam_search: true`;
    throw new OctavoError('invalid_request', message, { param: field });
  }
  if (grammar !== null) {
    const message = 'beam search does not follow a grammar, a schema or a forced tool call';
    throw new OctavoError('invalid_request', message, { param: 'use_beam_search' });
  }
  const width = body.best_of ?? n;
  if (width < n) {
    const message = `best_of is ${width}: it must be at least n, which is ${n}`;
    throw new OctavoError('invalid_request', message, { param: 'best_of' });
  }
  const beams = { width, lengthPenalty: lengthPenalty ?? 1, earlyStopping: earlyStopping ?? false };
  return { beams };
}

/**
 * For endpoints that choose among several candidates by beam search only.
 *
 * @throws OctavoError `invalid_request` for `best_of` without it
 */
export function refuseBestOf({ use_beam_search: searches, best_of: bestOf }: BeamFields): void {
  if (searches !== true && (bestOf ?? 1) !== 1) refuseAlone('best_of');
}

function refuseAlone(param: string): never {
  const message = `${param} is not supported without use_beam_search: true`;
  throw new OctavoError('invalid_request', message, { param });
}

/** Names of fields that ask for what beam search does not do. */
function conflicts(body: BesideBeams): string[] {
  const { stream, stop, logit_bias: bias, allowed_token_ids: allowed, bad_words: words } = body;
  const asked: [field: string, isAsked: boolean][] = [
    ['stream', stream === true],
    ['stop', (stop ?? []).length > 0],
    ['logit_bias', Object.keys(bias ?? {}).length > 0],
    ['allowed_token_ids', Boolean(allowed)],
    ['bad_words', (words ?? []).length > 0],
    ['thinking_token_budget', (body.thinking_token_budget ?? -1) !== -1],
    ['repetition_detection', (body.repetition_detection?.max_pattern_size ?? 0) > 0],
  ];
  for (const [field, neutral] of Object.entries(NEUTRAL)) {
    const value = body[field as keyof typeof NEUTRAL] ?? null;
    asked.push([field, value !== null && !(neutral as readonly number[]).includes(value)]);
  }
  return asked.filter(([, isAsked]) => isAsked).map(([field]) => field);
}
