import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { COMMON_FIELDS, type CommonSchema, Nullable } from '../openai/fields/request-fields.js';

const Int = Nullable(Type.Integer());

/** What `options` may say about sampling and the end of the text. */
export const OptionsSchema = Type.Object({
  temperature: COMMON_FIELDS.temperature,
  top_k: COMMON_FIELDS.top_k,
  top_p: Nullable(Type.Number({ minimum: 0, maximum: 1 })),
  min_p: COMMON_FIELDS.min_p,
  typical_p: COMMON_FIELDS.typical_p,
  repeat_penalty: COMMON_FIELDS.repetition_penalty,
  presence_penalty: COMMON_FIELDS.presence_penalty,
  frequency_penalty: COMMON_FIELDS.frequency_penalty,
  /** 0: no penalties. Others have no effect: penalties look at the whole text. */
  repeat_last_n: Int,
  /** Below 0: any. */
  seed: COMMON_FIELDS.seed,
  /** Below 1: what the context has left. */
  num_predict: Int,
  stop: COMMON_FIELDS.stop,
  mirostat: Int,
  tfs_z: Nullable(Type.Number()),
});

export type Options = Static<typeof OptionsSchema>;

/** About memory and processors, which flags of the server decide; accepted without effect. */
export const IGNORED_OPTIONS = [
  'draft_num_predict',
  'embedding_only',
  'f16_kv',
  'logits_all',
  'low_vram',
  'main_gpu',
  'mirostat_eta',
  'mirostat_tau',
  'num_batch',
  'num_ctx',
  'num_gpu',
  'num_keep',
  'num_thread',
  'numa',
  'penalize_newline',
  'use_mlock',
  'use_mmap',
  'vocab_only',
] as const;

/**
 * The same in the words of chats.
 *
 * @throws OctavoError `invalid_request` for a kind of sampling that there is not
 */
export function toCommonFields(options: Options): Static<typeof CommonSchema> {
  refuse('mirostat', options.mirostat ?? 0, 0);
  refuse('tfs_z', options.tfs_z ?? 1, 1);
  const { temperature, top_k, min_p, typical_p, presence_penalty, frequency_penalty } = options;
  const penalties =
    options.repeat_last_n === 0
      ? { repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 }
      : present({
          repetition_penalty: options.repeat_penalty,
          presence_penalty,
          frequency_penalty,
        });
  // Ollama's nucleus of 0 is the likeliest token alone.
  const nucleus = options.top_p === 0 ? { top_k: 1 } : present({ top_p: options.top_p, top_k });
  const seed = options.seed ?? -1;
  return {
    ...present({ temperature, min_p, typical_p }),
    ...nucleus,
    ...penalties,
    ...(seed >= 0 && { seed }),
    stop: options.stop ?? null,
  };
}

/** Tokens that an answer may have; null: what the context has left. */
export function maxTokensOf({ num_predict: count }: Options): number | null {
  return typeof count === 'number' && count > 0 ? count : null;
}

function refuse(name: string, value: number, neutral: number): void {
  if (value === neutral) return;
  const param = `options.${name}`;
  throw new OctavoError('invalid_request', `${param} is not supported: it must be ${neutral}`, {
    param,
  });
}

/** Optional fields are absent or have a value; undefined is neither. */
function present<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
