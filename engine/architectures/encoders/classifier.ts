import type { Config } from '../config.js';

/** Whether the configuration is that of a model with scores of texts. */
export function isClassifier(config: Config): boolean {
  const names = config.values['architectures'];
  return (
    Array.isArray(names) && names.some((name) => String(name).endsWith('ForSequenceClassification'))
  );
}

/** How many scores a text has: as many as there are labels, two where none are named. */
export function labelsOf(config: Config): number {
  return config.inner('id2label')?.keys().length ?? config.size('num_labels', 2);
}

/** @throws OctavoError `model_unsupported` for a classifier of a family without one */
export function refuseClassifier(config: Config): void {
  if (!isClassifier(config)) return;
  throw config.unsupported(
    'is a sequence classifier; built from config.json are those of BERT, RoBERTa and ModernBERT',
  );
}
