import type { Static } from 'typebox';
import { clip } from '../../../engine/clip.js';
import { OctavoError } from '../../../engine/errors.js';
import type { SamplingParams } from '../../../engine/sampling/sampling-params.js';
import type { SamplingDefaults } from '../../../engine/text/generation-config.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';
import type { CommonSchema } from './request-fields.js';

type SamplingFields = Pick<
  Static<typeof CommonSchema>,
  | 'logit_bias'
  | 'repetition_penalty'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'temperature'
  | 'top_k'
  | 'min_p'
  | 'typical_p'
  | 'top_p'
  | 'seed'
  | 'allowed_token_ids'
  | 'bad_words'
>;

/**
 * What a request says of sampling, and the model's defaults where it says nothing.
 *
 * @throws OctavoError `invalid_request` for a biased token that is none
 */
export function samplingParams(
  body: SamplingFields,
  {
    defaults: standard,
    vocabSize,
    tokenizer,
    randomSeed,
  }: {
    readonly defaults: SamplingDefaults;
    readonly vocabSize: number;
    readonly tokenizer: Pick<Tokenizer, 'encode'>;
    readonly randomSeed: () => number;
  },
): SamplingParams {
  const seed = body.seed ?? randomSeed();
  const { allowed_token_ids: allowed, bad_words: words } = body;
  return {
    ...(allowed && { allowedTokenIds: allowedTokens(allowed, vocabSize) }),
    ...(words && words.length > 0 && { bannedWords: bannedWords(words, tokenizer) }),
    logitBias: logitBias(body.logit_bias ?? {}, vocabSize),
    repetitionPenalty: body.repetition_penalty ?? standard.repetitionPenalty,
    frequencyPenalty: body.frequency_penalty ?? standard.frequencyPenalty,
    presencePenalty: body.presence_penalty ?? standard.presencePenalty,
    temperature: body.temperature ?? standard.temperature,
    // -1 is vLLM's older word for all.
    topK: Math.max(0, body.top_k ?? standard.topK),
    minP: body.min_p ?? standard.minP,
    typicalP: body.typical_p ?? standard.typicalP,
    topP: body.top_p ?? standard.topP,
    seed: foldSeed(seed),
  };
}

function allowedTokens(ids: readonly number[], vocabSize: number): TokenId[] {
  const alien = ids.find((id) => id >= vocabSize);
  if (alien === undefined) return ids as TokenId[];
  const message = `allowed_token_ids: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
  throw new OctavoError('invalid_request', message, { param: 'allowed_token_ids' });
}

/** A word as it begins a text, and behind a space: other tokens in most vocabularies. */
function bannedWords(
  words: readonly string[],
  tokenizer: Pick<Tokenizer, 'encode'>,
): (readonly TokenId[])[] {
  const forms = words.flatMap((word) => [word.trimStart(), ` ${word.trimStart()}`]);
  return forms
    .map((form) => tokenizer.encode(form, { addSpecialTokens: false }))
    .filter((tokens) => tokens.length > 0);
}

/**
 * A seed for any int64: all that JavaScript's numbers hold exactly are their own; the upper bits of
 * others are mixed in.
 */
function foldSeed(seed: number): number {
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  const bits = BigInt.asUintN(64, BigInt(seed));
  return Number(BigInt.asUintN(53, bits ^ (bits >> 53n)));
}

function logitBias(
  biases: Readonly<Record<string, number>>,
  vocabSize: number,
): [token: TokenId, bias: number][] {
  return Object.entries(biases).map(([key, bias]) => {
    // One way to write each id, so that none is given twice.
    if (!/^(0|[1-9]\d*)$/.test(key)) {
      throw new OctavoError('invalid_request', `logit_bias: '${clip(key)}' is not a token id`, {
        param: 'logit_bias',
      });
    }
    if (Number(key) >= vocabSize) {
      const message = `logit_bias: ${clip(key)} is not in the vocabulary of ${vocabSize} tokens`;
      throw new OctavoError('invalid_request', message, { param: 'logit_bias' });
    }
    return [Number(key) as TokenId, bias];
  });
}
