import { type Static, Type } from 'typebox';
import { SCHEDULING_POLICIES } from '../scheduler/policies/scheduling-policy.js';
import { ADAPTER_SETTINGS } from './adapter-settings.js';
import { CACHE_SETTINGS } from './cache-settings.js';
import { availableCpus } from './environment/available-cpus.js';
import { DEVICE_FLOATS } from './importer/passes/half-matmuls.js';
import { ACTIVATIONS, QUANTIZATIONS } from './importer/quantize/quantization.js';
import { DTYPES } from './importer/variants.js';
import { REASONING_PARSERS } from './reasoning/reasoning-parsers.js';
import { extra } from './setting-schema.js';
import { TOOL_CALL_PARSERS } from './tools/formats.js';
import { VISION_SETTINGS } from './vision/vision-settings.js';

/**
 * Settings of an engine, given by flags, by environment variables (`server/config`), or by a
 * program that uses the library. Bounds and defaults are the same for all of them.
 */
export const ENGINE_SETTINGS = {
  model: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory or GGUF file of the model, or owner/name[@revision][:quantization] on the hub (default: the embedded octavo-tiny)',
        group: 'Model',
        scope: 'engine',
        value: 'model',
      }),
      minLength: 1,
    }),
  ),
  servedModelName: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description: "name of the model in the API, repeatable (default: the directory's name)",
      group: 'Model',
      scope: 'server',
      value: 'name',
    }),
    default: [],
  }),
  file: Type.Optional(
    Type.String({
      ...extra({
        description:
          'file of the weights in the directory or repository: .onnx, .safetensors or .gguf (default: chosen by a rule)',
        group: 'Model',
        scope: 'engine',
        value: 'path',
      }),
      minLength: 1,
    }),
  ),
  dtype: Type.Enum(['auto', ...DTYPES], {
    ...extra({
      description: "which of the directory's ONNX files, by its number format",
      group: 'Model',
      scope: 'engine',
      value: 'dtype',
    }),
    default: 'auto',
  }),
  device: Type.Enum(['cpu', 'auto', 'webgpu', 'cuda'], {
    ...extra({
      description:
        'what computes: the CPU, or a GPU of any maker through WebGPU, or one of NVIDIA through CUDA; auto takes a GPU where WebGPU serves the model, else the CPU',
      group: 'Model',
      scope: 'engine',
      value: 'device',
    }),
    default: 'cpu',
  }),
  deviceDtype: Type.Enum([...DEVICE_FLOATS], {
    ...extra({
      description:
        "a GPU's matmuls: weights of floats as the model has them, or in float16, in half of the memory",
      group: 'Model',
      scope: 'engine',
      value: 'dtype',
    }),
    default: 'as-is',
  }),
  quantize: Type.Enum([...QUANTIZATIONS], {
    ...extra({
      description:
        'weights and activations of 8 bits (w8a8), weights alone of 8 or 4 bits (q8, q4), or what suits the machine (auto); rewritten once and cached on disk',
      group: 'Model',
      scope: 'engine',
      value: 'method',
    }),
    default: 'none',
  }),
  activations: Type.Enum([...ACTIVATIONS], {
    ...extra({
      description:
        'what the CPU multiplies with weights in blocks of 4 or 8 bits (GGUF, AWQ, GPTQ, --quantize q4 and q8): activations rounded to 8 bits by block, or exact ones, which takes up to twice as long; matmuls of an ONNX file keep what it states',
      group: 'Model',
      scope: 'engine',
      value: 'precision',
    }),
    default: 'int8',
  }),
  quantizeNbits: Type.Boolean({
    ...extra({
      description: 'with --quantize: weights that are packed in 2, 4 or 8 bits too (MatMulNBits)',
      group: 'Model',
      scope: 'engine',
    }),
    default: false,
  }),
  calibrate: Type.Optional(
    Type.String({
      ...extra({
        description:
          'with --quantize q4 or q8: rounds weights so that answers to the texts of this file change least (GPTQ); one text on each line, or JSON objects with "text" or "messages" in a file named .jsonl',
        group: 'Model',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
  modelCacheDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory of rewritten models and of hashes of models (default: ~/.cache/octavo)',
        group: 'Model',
        scope: 'engine',
        value: 'dir',
      }),
      minLength: 1,
    }),
  ),
  ...ADAPTER_SETTINGS,
  maxModelLen: Type.Optional(
    Type.Integer({
      ...extra({
        description: "longest prompt plus output in tokens (default: the model's context)",
        group: 'Model',
        scope: 'engine',
      }),
      minimum: 2,
      maximum: 16_777_216,
    }),
  ),
  chatTemplate: Type.Optional(
    Type.String({
      ...extra({
        description:
          "file with a chat template, or the name of one of the model's own (default: the model's)",
        group: 'Model',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
  trustRequestChatTemplate: Type.Boolean({
    ...extra({
      description:
        'requests may bring a chat template of their own (chat_template): a program of the client, which runs in a thread with bounds',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  allowSpecialTokens: Type.Boolean({
    ...extra({
      description: "chats: special tokens written in a client's text count as such",
      group: 'Model',
      scope: 'engine',
    }),
    default: false,
  }),
  toolCallParser: Type.Enum([...TOOL_CALL_PARSERS], {
    ...extra({
      description: 'how the model writes tool calls; auto sees it from the chat template',
      group: 'Model',
      scope: 'server',
      value: 'format',
    }),
    default: 'auto',
  }),
  reasoningParser: Type.Enum([...REASONING_PARSERS], {
    ...extra({
      description: 'how the model marks its reasoning; auto sees it from the chat template',
      group: 'Model',
      scope: 'server',
      value: 'format',
    }),
    default: 'auto',
  }),
  disableAnyWhitespace: Type.Boolean({
    ...extra({
      description: 'structured output is compact JSON, without white space between its parts',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  pooling: Type.Optional(
    Type.Enum(['last', 'mean', 'cls'], {
      ...extra({
        description:
          "embeddings: the last token's hidden state, the mean of all, or an encoder's first (default: as an encoder's files say; a decoder's last)",
        group: 'Model',
        scope: 'server',
        value: 'how',
      }),
    }),
  ),
  ...VISION_SETTINGS,
  ...CACHE_SETTINGS,
  maxNumSeqs: Type.Integer({
    ...extra({
      description: 'requests that run at the same time',
      group: 'Scheduling',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 65_536,
    default: 64,
  }),
  maxNumBatchedTokens: Type.Optional(
    Type.Integer({
      ...extra({
        description: 'tokens in one step, over all requests (default: 512; on a GPU 2048)',
        group: 'Scheduling',
        scope: 'engine',
      }),
      minimum: 1,
      maximum: 1_048_576,
    }),
  ),
  schedulingPolicy: Type.Enum([...SCHEDULING_POLICIES], {
    ...extra({
      description:
        'order of service: arrival, the request field "priority", equal shares, the shortest expected output, the longest cached prefix',
      group: 'Scheduling',
      scope: 'server',
      value: 'policy',
    }),
    default: 'fcfs',
  }),
  admissionQuantile: Type.Number({
    ...extra({
      description:
        'share of outputs for which the blocks suffice that are kept free at admission, learned from earlier ones; 0: none are kept',
      group: 'Scheduling',
      scope: 'server',
      value: 'share',
    }),
    minimum: 0,
    maximum: 0.99,
    default: 0.2,
  }),
  longPrefillTokenThreshold: Type.Integer({
    ...extra({
      description: 'maximum tokens of one prompt per step; 0: what the budget of the step leaves',
      group: 'Scheduling',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1_048_576,
    default: 0,
  }),
  speculativeConfig: Type.Optional(
    Type.String({
      ...extra({
        description:
          'drafts tokens and computes them with the next one, as JSON in vLLM\'s words: {"method":"ngram"} looks into the request\'s own text, {"method":"suffix"} into ended outputs, too, {"model":"owner/name"} asks a smaller model, {"method":"eagle","model":"owner/name"} layers that read the model\'s hidden rows, {"method":"mtp"} the prediction head of its own checkpoint (default: off)',
        group: 'Scheduling',
        scope: 'engine',
        value: 'json',
      }),
      minLength: 1,
    }),
  ),
  threads: Type.Integer({
    ...extra({ description: 'threads that compute', group: 'Scheduling', scope: 'engine' }),
    minimum: 1,
    maximum: 1024,
    default: availableCpus(),
  }),
  traceSteps: Type.Optional(
    Type.String({
      ...extra({
        description:
          'file to which each decision of the scheduler is appended, with the token ids of all requests; for octavo replay (default: none)',
        group: 'Logs, metrics and traces',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
};

export const EngineSettingsSchema = Type.Object(ENGINE_SETTINGS);

export type EngineSettings = Static<typeof EngineSettingsSchema>;
