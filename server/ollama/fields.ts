import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { FieldGrammar } from '../../engine/generation/output-constraint.js';
import { Nullable } from '../openai/fields/request-fields.js';
import { FunctionTool, MAX_TOOLS } from '../openai/fields/tool-fields.js';
import { KEEP_ALIVE_FORM, parseKeepAlive } from '../pool/keep-alive.js';
import type { KeepAlive } from '../pool/model-entry.js';
import { OptionsSchema } from './options.js';

const Images = Nullable(Type.Array(Type.String()));

const MessageSchema = Type.Object({
  role: Type.String({ minLength: 1 }),
  content: Nullable(Type.String()),
  thinking: Nullable(Type.String()),
  images: Images,
  tool_calls: Nullable(
    Type.Array(
      Type.Object({
        id: Nullable(Type.String()),
        function: Type.Object({
          name: Type.String(),
          arguments: Nullable(Type.Object({})),
        }),
      }),
    ),
  ),
  tool_name: Nullable(Type.String()),
  tool_call_id: Nullable(Type.String()),
});

/** Of all requests to a model. */
const MODEL_FIELDS = {
  model: Type.String(),
  options: Nullable(OptionsSchema),
  /** Seconds, or a time such as 5m; below 0: always; 0: it is unloaded after the answer. */
  keep_alive: Nullable(Type.Union([Type.String(), Type.Number()])),
};

const GENERATION_FIELDS = {
  ...MODEL_FIELDS,
  /** True by default. */
  stream: Nullable(Type.Boolean()),
  /** `json`, or a JSON schema; an empty text asks for nothing. */
  format: Nullable(Type.Union([Type.Enum(['', 'json']), Type.Object({})])),
  think: Nullable(Type.Union([Type.Boolean(), Type.Enum(['low', 'medium', 'high'])])),
  logprobs: Nullable(Type.Boolean()),
  top_logprobs: Nullable(Type.Integer({ minimum: 0, maximum: 20 })),
};

export const OllamaChatSchema = Type.Object({
  ...GENERATION_FIELDS,
  /** None: the model is loaded, or unloaded with a `keep_alive` of 0. */
  messages: Nullable(Type.Array(MessageSchema)),
  /** Python's client sends an empty list with every chat. */
  tools: Nullable(Type.Array(FunctionTool, { maxItems: MAX_TOOLS })),
});

export const GenerateSchema = Type.Object({
  ...GENERATION_FIELDS,
  /** Absent or empty: as no messages. */
  prompt: Nullable(Type.String()),
  system: Nullable(Type.String()),
  /** The prompt is what the model reads, without a chat template. */
  raw: Nullable(Type.Boolean()),
  /** What an earlier answer had: its prompt and text as tokens, which go before this prompt. */
  context: Nullable(Type.Array(Type.Integer({ minimum: 0 }))),
  images: Images,
  suffix: Nullable(Type.String()),
  template: Nullable(Type.String()),
});

export const EmbedSchema = Type.Object({
  ...MODEL_FIELDS,
  input: Type.Union([Type.String(), Type.Array(Type.String())]),
  /** True by default: what does not fit is cut at its end. */
  truncate: Nullable(Type.Boolean()),
  dimensions: Nullable(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
});

/** The older form. */
export const EmbeddingsSchema = Type.Object({
  ...MODEL_FIELDS,
  prompt: Nullable(Type.String()),
});

/** Of requests about a model. The clients' older word for `model` is `name`. */
export const ModelNameSchema = Type.Object({
  model: Nullable(Type.String()),
  name: Nullable(Type.String()),
});

export const PullSchema = Type.Object({
  ...ModelNameSchema.properties,
  stream: Nullable(Type.Boolean()),
});

export type OllamaChatBody = Static<typeof OllamaChatSchema>;
export type GenerateBody = Static<typeof GenerateSchema>;
export type GenerationBody = Pick<
  GenerateBody,
  'model' | 'options' | 'keep_alive' | 'stream' | 'format' | 'think' | 'logprobs' | 'top_logprobs'
>;

/** @throws OctavoError `invalid_request` */
export function nameOf({ model, name }: Static<typeof ModelNameSchema>): string {
  const given = model ?? name ?? '';
  if (given !== '') return given;
  throw new OctavoError('invalid_request', 'missing required field model', { param: 'model' });
}

/**
 * @returns null: as the server was started
 * @throws OctavoError `invalid_request`
 */
export function keepAliveOf({
  keep_alive: given,
}: Pick<GenerationBody, 'keep_alive'>): KeepAlive | null {
  if (given === undefined || given === null || given === '') return null;
  const parsed = parseKeepAlive(given);
  if (parsed !== null) return parsed;
  throw new OctavoError('invalid_request', `keep_alive must be ${KEEP_ALIVE_FORM}`, {
    param: 'keep_alive',
  });
}

/** What the answer must be like; null: anything. */
export function formatOf(
  { format }: Pick<GenerationBody, 'format'>,
  isCompact: boolean,
): FieldGrammar | null {
  const form = isCompact ? { compact: isCompact } : {};
  if (format === undefined || format === null || format === '') return null;
  if (format === 'json') return { spec: { kind: 'json-object', ...form }, field: 'format' };
  const source = JSON.stringify(format);
  return { spec: { kind: 'json-schema', source, ...form }, field: 'format' };
}

/** @throws OctavoError `invalid_request` for images: models here read text */
export function refuseImages(images: readonly string[] | null | undefined, param: string): void {
  if (!images || images.length === 0) return;
  throw new OctavoError('invalid_request', `${param}: images are not read here, only text`, {
    param,
  });
}
