import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Engine } from '../engine/client/engine-port.js';
import type { Clock } from '../engine/clock.js';
import { packageVersion } from '../engine/environment/package-root.js';
import { MessageForms } from '../engine/generation/message-form.js';
import type { PromptMaker } from '../engine/generation/prompts/prompt-maker.js';
import type { GrammarChecker } from '../engine/grammar/grammar-checker.js';
import type { EngineInfo } from '../engine/protocol/options.js';
import type { EngineSettings } from '../engine/settings.js';
import type { ServedModel } from '../engine/text/served-model.js';
import type { Settings } from './config/settings.js';
import type { Admission } from './limits/admission.js';
import type { LimitTable } from './limits/client-limits.js';
import { createAdmission } from './limits/create-admission.js';
import { ModelMetrics } from './metrics/model-metrics.js';

/**
 * What the caller has made of a model: its engine, its text, and what both were started with. They
 * stay the caller's.
 */
export interface ModelParts {
  readonly engine: Engine;
  readonly model: ServedModel;
  /** Renders and tokenizes; what is large, never on this thread. */
  readonly prompts: PromptMaker;
  /** Where grammars are checked: never on this thread. */
  readonly grammars: GrammarChecker;
  readonly settings: Omit<EngineSettings, 'model'>;
}

/** A model as the server serves it: everything by which the answers of two models differ. */
export interface ModelService extends ModelParts {
  /** The first of the names that the model answers to: the one in answers, metrics and logs. */
  readonly name: string;
  /** The adapter that a request has named as its model; null for the model alone. */
  readonly adapter: string | null;
  /** How its messages are written and read. */
  readonly forms: MessageForms;
  readonly admission: Admission;
  readonly metrics: ModelMetrics;
  /** OpenAI's `system_fingerprint`: another one when the same request may be answered otherwise. */
  readonly fingerprint: string;
}

/** What the models of one server share. */
export interface SharedByModels {
  readonly settings: Settings;
  /** Of clients, whichever model they ask. */
  readonly limits: LimitTable;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export function createModelService(parts: ModelParts, shared: SharedByModels): ModelService {
  const { engine, model, settings } = parts;
  const { clock, logger } = shared;
  return {
    ...parts,
    name: model.names[0],
    adapter: null,
    forms: new MessageForms(model, settings),
    admission: createAdmission(
      { ...shared.settings, ...settings },
      shared.limits,
      logger,
      () => {
        const { running, waiting, usedBlocks, pinnedBlocks = 0 } = engine.stats;
        // Sequences have what pinned prefixes leave. An encoder keeps nothing.
        const blocks = Math.max(1, engine.info.numBlocks - pinnedBlocks);
        const memoryInUse = (usedBlocks - pinnedBlocks) / blocks;
        return { running, waiting, memoryInUse };
      },
      () => clock.now(),
      shared.random,
    ),
    metrics: new ModelMetrics({
      engine,
      modelName: model.names[0],
      clock,
      settings,
      images: parts.prompts.images,
      prefix: shared.settings.metricsPrefix,
    }),
    fingerprint: fingerprintOf(model.names[0], engine.info, settings),
  };
}

/**
 * A text that changes when what computes the answers does: the version, the model, its number
 * formats, its template.
 */
function fingerprintOf(model: string, info: EngineInfo, settings: ModelParts['settings']): string {
  const { dtype, quantize, activations, quantizeNbits, calibrate } = settings;
  const { chatTemplate, allowSpecialTokens } = settings;
  const all = {
    version: packageVersion(),
    model,
    vocabulary: info.vocabSize,
    ...(info.device !== 'cpu' && { device: info.device }),
    dtype,
    kvDtype: info.kvDtype,
    quantize,
    activations,
    quantizeNbits,
    ...(calibrate !== undefined && { calibrate }),
    chatTemplate,
    allowSpecialTokens,
  };
  const digest = createHash('sha256').update(JSON.stringify(all)).digest('hex');
  return `fp_${digest.slice(0, 10)}`;
}
