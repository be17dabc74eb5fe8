import type * as OpenTelemetry from '@opentelemetry/api';
import type { Attributes, Context, Span, TextMapPropagator, Tracer } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import { packageVersion } from '../../engine/environment/package-root.js';
import { OctavoError } from '../../engine/errors.js';
import type { EndedRequest, RequestTracer } from './request-tracer.js';
import { type SpanFacts, spanFacts } from './span-facts.js';

const INSTALL =
  'npm install @opentelemetry/api@1.9 @opentelemetry/core@2 @opentelemetry/resources@2 ' +
  '@opentelemetry/sdk-trace-base@2 @opentelemetry/exporter-trace-otlp-http@0.223';

export interface OtlpTracerOptions {
  /** Where traces go; null: where OpenTelemetry's own variables say. */
  readonly url: string | null;
  readonly logger: Logger;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
}

/**
 * Whether requests are traced, and where to: the flag, or else OpenTelemetry's own variables.
 *
 * @returns undefined: not; null: where the variables say
 */
export function tracesUrl(
  flag: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | null | undefined {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined;
  if (flag !== undefined) {
    const url = new URL(flag);
    // A bare host is the base of all signals, as in OTEL_EXPORTER_OTLP_ENDPOINT.
    if (url.pathname === '/') url.pathname = '/v1/traces';
    return url.href;
  }
  if (environment['OTEL_TRACES_EXPORTER'] === 'none') return undefined;
  const asked =
    environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return asked ? null : undefined;
}

/**
 * Sends a trace of each request to a collector, by OTLP over HTTP. OpenTelemetry's packages are
 * optional, and loaded only here.
 *
 * @throws OctavoError `tracing_unavailable` when they are not installed
 */
export async function createOtlpTracer(options: OtlpTracerOptions): Promise<RequestTracer> {
  const { api, core, resources, trace, exporter } = await load();
  const { logger } = options;
  const complain = (...words: unknown[]): void =>
    logger.warn(`tracing: ${words.map(String).join(' ')}`);
  const ignore = (): void => undefined;
  api.diag.setLogger(
    { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const provider = new trace.BasicTracerProvider({
    resource: resources
      .resourceFromAttributes({ 'service.name': 'octavo', 'service.version': packageVersion() })
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [
      new trace.BatchSpanProcessor(
        new exporter.OTLPTraceExporter(options.url === null ? {} : { url: options.url }),
      ),
    ],
  });
  const tracer = provider.getTracer('octavo', packageVersion());
  return new OtlpTracer(api, tracer, new core.W3CTraceContextPropagator(), options, () =>
    provider.shutdown(),
  );
}

type Api = typeof OpenTelemetry;

class OtlpTracer implements RequestTracer {
  readonly #api: Api;
  readonly #tracer: Tracer;
  readonly #propagator: TextMapPropagator;
  readonly #options: OtlpTracerOptions;
  readonly #shutdown: () => Promise<void>;

  constructor(
    api: Api,
    tracer: Tracer,
    propagator: TextMapPropagator,
    options: OtlpTracerOptions,
    shutdown: () => Promise<void>,
  ) {
    this.#api = api;
    this.#tracer = tracer;
    this.#propagator = propagator;
    this.#options = options;
    this.#shutdown = shutdown;
  }

  trace(ended: EndedRequest): string | null {
    const facts = spanFacts(ended);
    if (facts === null) return null;
    const { ROOT_CONTEXT, SpanKind, defaultTextMapGetter, trace } = this.#api;
    const { headers } = ended.request;
    const caller = this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    // A jump of the wall clock moves a trace, but does not bend it.
    const epoch = this.#options.wallClock() - this.#options.clock.now();
    const span = this.#begin(facts.span, SpanKind.SERVER, caller, epoch);
    if (!span.isRecording()) return null;
    const inside = trace.setSpan(caller, span);
    for (const part of facts.parts) {
      this.#begin(part, SpanKind.INTERNAL, inside, epoch).end(epoch + part.end);
    }
    span.end(epoch + facts.span.end);
    return span.spanContext().traceId;
  }

  async close(): Promise<void> {
    await this.#shutdown().catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, 'tracing: the last spans could not be sent');
    });
  }

  #begin(
    { name, start, attributes, failed }: SpanFacts,
    kind: number,
    context: Context,
    epoch: number,
  ): Span {
    const own = attributes as Attributes;
    const span = this.#tracer.startSpan(
      name,
      { kind, startTime: epoch + start, attributes: own },
      context,
    );
    // Without the error's words: they may quote the request.
    if (failed) span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    return span;
  }
}

async function load() {
  try {
    const [api, core, resources, trace, exporter] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/core'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/exporter-trace-otlp-http'),
    ]);
    return { api, core, resources, trace, exporter };
  } catch (error) {
    throw new OctavoError(
      'tracing_unavailable',
      `--otlp-traces-endpoint: OpenTelemetry's packages are not installed; install them with: ${INSTALL}`,
      { param: '--otlp-traces-endpoint', cause: error },
    );
  }
}
