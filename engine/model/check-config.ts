import { OctavoError } from '../errors.js';
import type { ImportedModel } from '../importer/imported-model.js';
import type { ModelConfig } from './model-config.js';

/**
 * Graph and config.json must be of one model: one beside the other by mistake would answer
 * nonsense.
 *
 * @throws OctavoError `model_file_corrupt`: which number the graph has, and which the file says
 */
export function checkConfig(config: ModelConfig, model: ImportedModel): void {
  const { sites, vocabSize, report } = model;
  const expect = (what: string, graph: number, stated: number | null): void => {
    if (stated === null || stated === graph) return;
    throw new OctavoError(
      'model_file_corrupt',
      `${config.file}: says ${what} ${stated}, but ${report.file} has ${graph}: they are not of one model`,
    );
  };
  expect('num_hidden_layers', sites.length, config.numLayers);
  for (const { numHeads } of sites) expect('num_attention_heads', numHeads, config.numHeads);
  // Families with layers of two kinds state the heads of one of them.
  if (!sites.some(({ numKvHeads }) => numKvHeads === config.numKvHeads)) {
    expect('num_key_value_heads', sites[0].numKvHeads, config.numKvHeads);
  }
  if (!sites.some(({ headSize }) => headSize === config.headSize)) {
    expect('a head_size in genai_config.json of', sites[0].headSize, config.headSize);
  }
  // Tables are padded to round sizes in some exports, never cut.
  if (config.vocabSize !== null && vocabSize < config.vocabSize) {
    expect('vocab_size', vocabSize, config.vocabSize);
  }
}
