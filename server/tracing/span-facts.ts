import type { EndedRequest } from './request-tracer.js';

/** A span before it is one: times are milliseconds on the server's monotonic clock. */
export interface SpanFacts {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number | boolean | string[]>>;
  /**
   * Whether the server is to blame: as for HTTP, what a client did wrong is told by `error.type`
   * alone.
   */
  readonly failed: boolean;
}

/** Operations as the conventions name them, by route. Other routes have no trace. */
const OPERATIONS: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'text_completion',
  '/v1/responses': 'chat',
  '/v1/messages': 'chat',
  '/v1/embeddings': 'embeddings',
};

/**
 * Request fields that have an attribute of their own. Texts are not among them, nor anything that
 * holds some.
 */
const FIELDS = {
  'gen_ai.request.max_tokens': ['max_completion_tokens', 'max_tokens', 'max_output_tokens'],
  'gen_ai.request.temperature': ['temperature'],
  'gen_ai.request.top_p': ['top_p'],
  'gen_ai.request.top_k': ['top_k'],
  'gen_ai.request.frequency_penalty': ['frequency_penalty'],
  'gen_ai.request.presence_penalty': ['presence_penalty'],
  'gen_ai.request.seed': ['seed'],
  'gen_ai.request.choice.count': ['n'],
} as const;

/**
 * What a request's span says, by OpenTelemetry's semantic conventions for generative AI (gen_ai.*)
 * and HTTP servers, and its parts: queue, prefill and decode, as far as it came.
 *
 * @returns null for a route that generates nothing
 */
export function spanFacts(
  ended: EndedRequest,
): { readonly span: SpanFacts; readonly parts: readonly SpanFacts[] } | null {
  const { request, route, status, now } = ended;
  const operation = OPERATIONS[route];
  if (operation === undefined || request.method !== 'POST') return null;
  const { generation, failure, arrivedAt } = request;
  const model = generation?.model ?? null;
  const span: SpanFacts = {
    name: model === null ? operation : `${operation} ${model}`,
    start: arrivedAt,
    end: now,
    attributes: {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': 'octavo',
      'http.request.method': request.method,
      'http.route': route,
      'http.response.status_code': status,
      'octavo.request.id': request.id,
      ...requestAttributes(request.body),
      ...(generation && {
        'gen_ai.request.model': generation.model,
        'gen_ai.response.model': generation.model,
        'gen_ai.response.id': generation.id,
        'gen_ai.usage.input_tokens': generation.promptTokens,
        'gen_ai.usage.cache_read.input_tokens': generation.cachedTokens,
        'gen_ai.usage.output_tokens': generation.completionTokens,
      }),
      ...(generation?.finishReason &&
        failure === null && { 'gen_ai.response.finish_reasons': [generation.finishReason] }),
      ...(failure && { 'error.type': failure.kind }),
    },
    failed: failure !== null && failure.entry.status >= 500,
  };
  return { span, parts: parts(ended) };
}

/**
 * The engine tells how long a request waited and was prefilled; both end with its first token, or
 * with its embedding.
 */
function parts({ request }: EndedRequest): SpanFacts[] {
  const { generation, arrivedAt } = request;
  if (!generation) return [];
  const { queueMs, prefillMs, ttftMs, generatedMs } = generation;
  const firstMs = ttftMs ?? generatedMs;
  if (queueMs === null || prefillMs === null || firstMs === null) return [];
  const first = arrivedAt + firstMs;
  const begun = first - prefillMs;
  const part = (name: string, start: number, end: number, tokens: SpanFacts['attributes']) => ({
    name,
    start,
    end,
    attributes: tokens,
    failed: false,
  });
  const { promptTokens, cachedTokens, completionTokens } = generation;
  const found = [
    part('queue', Math.max(arrivedAt, begun - queueMs), begun, {}),
    part('prefill', begun, first, { 'octavo.computed_tokens': promptTokens - cachedTokens }),
  ];
  if (ttftMs === null || generatedMs === null) return found;
  const last = arrivedAt + generatedMs;
  return [...found, part('decode', first, last, { 'octavo.generated_tokens': completionTokens })];
}

function requestAttributes(body: unknown): SpanFacts['attributes'] {
  const fields = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const attributes: Record<string, number | boolean> = {};
  for (const [name, sources] of Object.entries(FIELDS)) {
    const value = sources.map((source) => fields[source]).find((given) => given !== undefined);
    if (typeof value === 'number') attributes[name] = value;
  }
  return attributes;
}
