import { BATCH_OPERATIONS } from './batch-operations.js';
import {
  ChatAnswer,
  ChatChunk,
  CompletionAnswer,
  CompletionChunk,
  InfillAnswer,
} from './completion-answers.js';
import {
  AnthropicErrorSchema,
  CountedTokens,
  MessageAnswer,
  MessageEventSchema,
} from './message-answers.js';
import { OLLAMA_OPERATIONS } from './ollama-operations.js';
import type { Operation } from './operation.js';
import {
  DeletedResponse,
  InputItemsAnswer,
  InputTokensAnswer,
  ResponseAnswer,
  ResponseEventSchema,
} from './response-answers.js';
import {
  DecisionAnswer,
  DetokenizeAnswer,
  EmbeddingsAnswer,
  LOAD_ANSWERS,
  MODEL_ANSWERS,
  PREFIX_ANSWERS,
  RerankAnswer,
  ScoreAnswer,
  SleepingAnswer,
  StatusAnswer,
  SystemOneAnswer,
  TokenizeAnswer,
  UsageAnswer,
  VersionAnswer,
} from './schemas.js';

const RERANK: Operation = {
  tag: 'generation',
  summary: 'Order documents by how well they answer a query',
  answer: RerankAnswer,
};

const SCORE: Operation = {
  tag: 'generation',
  summary: 'Score pairs of texts',
  answer: ScoreAnswer,
};

/**
 * Every route, by method and path. Answers are described for readers only: nothing is checked or
 * left out by these schemas when the server answers. A test compares them with what it does answer.
 */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  ...OLLAMA_OPERATIONS,
  ...BATCH_OPERATIONS,
  'POST /v1/chat/completions': {
    tag: 'generation',
    summary: 'Continue a conversation',
    answer: ChatAnswer,
    event: ChatChunk,
  },
  'POST /v1/completions': {
    tag: 'generation',
    summary: 'Continue a text',
    answer: CompletionAnswer,
    event: CompletionChunk,
  },
  'POST /infill': {
    tag: 'generation',
    summary: 'Fill a gap in a text (llama.cpp)',
    answer: InfillAnswer,
    event: InfillAnswer,
  },
  'POST /v1/embeddings': {
    tag: 'generation',
    summary: 'Embed texts',
    answer: EmbeddingsAnswer,
  },
  'POST /v1/decisions': {
    tag: 'generation',
    summary: 'Answer closed questions about one input by probabilities',
    answer: DecisionAnswer,
  },
  'POST /v1/systemone': {
    tag: 'generation',
    summary: "The same in TypeSafe's form",
    answer: SystemOneAnswer,
  },
  'POST /v1/rerank': RERANK,
  'POST /rerank': RERANK,
  'POST /v2/rerank': RERANK,
  'POST /v1/score': SCORE,
  'POST /score': SCORE,
  'POST /v1/messages': {
    tag: 'messages',
    summary: "Continue a conversation (Anthropic's API)",
    answer: MessageAnswer,
    event: MessageEventSchema,
    error: AnthropicErrorSchema,
  },
  'POST /v1/messages/count_tokens': {
    tag: 'messages',
    summary: "Count the tokens of a conversation (Anthropic's API)",
    answer: CountedTokens,
    error: AnthropicErrorSchema,
  },
  'POST /v1/responses': {
    tag: 'responses',
    summary: 'Make a response, or continue an earlier one',
    answer: ResponseAnswer,
    event: ResponseEventSchema,
  },
  'POST /v1/responses/input_tokens': {
    tag: 'responses',
    summary: 'Count the tokens of an input',
    answer: InputTokensAnswer,
  },
  'GET /v1/responses/:id': {
    tag: 'responses',
    summary: 'Show a response that is kept, or is made in the background',
    answer: ResponseAnswer,
    event: ResponseEventSchema,
  },
  'DELETE /v1/responses/:id': {
    tag: 'responses',
    summary: 'Forget a response',
    answer: DeletedResponse,
  },
  'POST /v1/responses/:id/cancel': {
    tag: 'responses',
    summary: 'End a background response',
    answer: ResponseAnswer,
  },
  'GET /v1/responses/:id/input_items': {
    tag: 'responses',
    summary: 'List what a response was made from',
    answer: InputItemsAnswer,
  },
  'GET /v1/models': {
    tag: 'models and tokens',
    summary: "List the names of the model; in Anthropic's form with a header anthropic-version",
    answer: MODEL_ANSWERS.list,
  },
  'GET /v1/models/:id': {
    tag: 'models and tokens',
    summary: 'Show the model',
    answer: MODEL_ANSWERS.one,
  },
  'POST /tokenize': {
    tag: 'models and tokens',
    summary: 'Turn a text or a conversation into tokens',
    answer: TokenizeAnswer,
  },
  'POST /detokenize': {
    tag: 'models and tokens',
    summary: 'Turn tokens into text',
    answer: DetokenizeAnswer,
  },
  'GET /health': {
    tag: 'operations',
    summary: '200 while the server takes requests',
    answer: StatusAnswer,
  },
  'GET /health_generate': {
    tag: 'operations',
    summary: '200 when the engine computes: a token for the probe, or a step of other requests',
    answer: StatusAnswer,
  },
  'GET /load': {
    tag: 'operations',
    summary: 'Number of requests in flight (vLLM)',
    answer: LOAD_ANSWERS.vllm,
  },
  'GET /v1/loads': {
    tag: 'operations',
    summary: 'Requests, and the tokens that blocks in use have room for (SGLang)',
    answer: LOAD_ANSWERS.sglang,
  },
  'GET /get_load': {
    tag: 'operations',
    summary: 'The same, shorter (SGLang, older)',
    answer: LOAD_ANSWERS.short,
  },
  'GET /server_info': {
    tag: 'operations',
    summary: 'What the server was started with, as far as routers ask (SGLang)',
    answer: LOAD_ANSWERS.server,
  },
  'GET /get_server_info': {
    tag: 'operations',
    summary: 'The same, under its older name',
    answer: LOAD_ANSWERS.server,
  },
  'GET /model_info': {
    tag: 'operations',
    summary: 'What the model can do (SGLang)',
    answer: LOAD_ANSWERS.model,
  },
  'GET /get_model_info': {
    tag: 'operations',
    summary: 'The same, under its older name',
    answer: LOAD_ANSWERS.model,
  },
  'GET /kv_event_sources': {
    tag: 'operations',
    summary: 'Where KV events are published (vLLM)',
    answer: LOAD_ANSWERS.kvEvents,
  },
  'GET /v1/usage': {
    tag: 'operations',
    summary: 'What each key has used; a key without the scope metrics sees its own',
    answer: UsageAnswer,
  },
  'GET /metrics': { tag: 'operations', summary: 'Figures for Prometheus', answer: null },
  'POST /v1/load_lora_adapter': {
    tag: 'operations',
    summary: 'Load a LoRA adapter (vLLM)',
    answer: null,
  },
  'POST /v1/unload_lora_adapter': {
    tag: 'operations',
    summary: 'Unload a LoRA adapter (vLLM)',
    answer: null,
  },
  'POST /v1/cache/prefixes': {
    tag: 'operations',
    summary: 'Compute a prefix and keep it cached under a name',
    answer: PREFIX_ANSWERS.one,
  },
  'GET /v1/cache/prefixes': {
    tag: 'operations',
    summary: 'List the prefixes that stay cached',
    answer: PREFIX_ANSWERS.list,
  },
  'DELETE /v1/cache/prefixes/:name': {
    tag: 'operations',
    summary: 'Let a prefix go when its memory is needed',
    answer: PREFIX_ANSWERS.deleted,
  },
  'POST /reset_prefix_cache': {
    tag: 'operations',
    summary: 'Forget all cached prefixes (vLLM)',
    answer: StatusAnswer,
  },
  'POST /sleep': {
    tag: 'operations',
    summary: 'Unload all models, or one, when their requests have ended (vLLM)',
    answer: StatusAnswer,
  },
  'POST /wake_up': {
    tag: 'operations',
    summary: 'Load the first model, or another one (vLLM)',
    answer: StatusAnswer,
  },
  'GET /is_sleeping': {
    tag: 'operations',
    summary: 'Whether no model is loaded, or not this one (vLLM)',
    answer: SleepingAnswer,
  },
  'GET /version': { tag: 'operations', summary: 'The version', answer: VersionAnswer },
};
