import { OctavoError } from '../errors.js';
import type { ModelFacts } from '../importer/imported-model.js';
import type { ModelConfig } from './model-config.js';

/**
 * Checks that graph and config.json belong to the same model; otherwise, its answers would be
 * nonsense.
 *
 * @throws OctavoError `model_file_corrupt`: states the graph's number and the file's
 */
export function checkConfig(config: ModelConfig, model: ModelFacts): void {
  const { sites, recurrent, vocabSize, report } = model;
  const expect = (what: string, graph: number, stated: number | null): void => {
    if (stated === null || stated === graph) return;
    throw new OctavoError(
      'model_file_corrupt',
      `${config.file}: says ${what} ${stated}, but ${report.file} has ${graph}: they are not of one model`,
    );
  };
  // Of a hybrid's layers, some have several states, and some none.
  if (recurrent.length === 0) expect('num_hidden_layers', sites.length, config.numLayers);
  for (const { numHeads } of sites) expect('num_attention_heads', numHeads, config.numHeads);
  // Families with two kinds of layers state the number of heads of one kind.
  if (sites.length > 0 && !sites.some(({ numKvHeads }) => numKvHeads === config.numKvHeads)) {
    expect('num_key_value_heads', sites[0].numKvHeads, config.numKvHeads);
  }
  if (sites.length > 0 && !sites.some(({ headSize }) => headSize === config.headSize)) {
    expect('a head_size in genai_config.json of', sites[0].headSize, config.headSize);
  }
  // Some exports pad tables to round sizes; none shorten them.
  if (config.vocabSize !== null && vocabSize < config.vocabSize) {
    expect('vocab_size', vocabSize, config.vocabSize);
  }
}
