import type { FetchObserver } from '../../engine/hub/fetch-model.js';
import type { ConversionProgress } from '../../engine/importer/quantize/convert-weights.js';
import { progressBar } from './progress-bar.js';

export function conversionProgress(
  terminal: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
  log: (line: string) => void,
): ConversionProgress {
  const show = progressBar(terminal, log);
  return (done, total) => show('rewriting weights as w8a8', done, total);
}

export function downloadObserver(
  terminal: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
  log: (line: string) => void,
): FetchObserver {
  const show = progressBar(terminal, log);
  return { log, progress: (file, done, total) => show(`downloading ${file}`, done, total) };
}
