import { createHash } from 'node:crypto';
import { packageVersion } from '../engine/environment/package-root.js';
import type { EngineInfo } from '../engine/protocol/options.js';
import type { Settings } from './config/settings.js';

/** A text that changes when what computes the answers does: the version, the model, its number formats, its template. */
export function fingerprintOf(model: string, info: EngineInfo, settings: Settings): string {
  const { dtype, kvDtype, quantize, quantizeNbits, chatTemplate, allowSpecialTokens } = settings;
  const all = {
    version: packageVersion(),
    model,
    vocabulary: info.vocabSize,
    dtype,
    kvDtype,
    quantize,
    quantizeNbits,
    chatTemplate,
    allowSpecialTokens,
  };
  const digest = createHash('sha256').update(JSON.stringify(all)).digest('hex');
  return `fp_${digest.slice(0, 10)}`;
}
