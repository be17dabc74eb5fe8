import { join } from 'node:path';
import { OctavoError } from '../errors.js';
import type { ServedModel } from './served-model.js';

/**
 * Checks that the model knows all tokens of the tokenizer, because a prompt may contain any.
 *
 * @param vocabSize width of the logits
 * @throws OctavoError `model_file_corrupt` with both numbers
 */
export function checkVocabulary(dir: string, model: ServedModel, vocabSize: number): void {
  const { tokenizer } = model;
  if (tokenizer.vocabSize <= vocabSize) return;
  const path = join(dir, 'tokenizer.json');
  throw new OctavoError(
    'model_file_corrupt',
    `${path}: its vocabulary has ${tokenizer.vocabSize} tokens, but the model's logits have ${vocabSize}: they are not of one model`,
    { param: path },
  );
}

/** Warnings about a model, for the user: one line each. */
export function warningsOf(model: ServedModel, vocabSize: number): string[] {
  const warnings: string[] = [];
  const { eosTokenIds, chatTemplate } = model;
  const ends = eosTokenIds.filter((id) => id < vocabSize);
  if (ends.length === 0) {
    const files = 'config.json, generation_config.json, genai_config.json or tokenizer_config.json';
    const what =
      eosTokenIds.length === 0
        ? `names no token that ends a text (eos_token_id in ${files})`
        : `never ends a text by itself: ${eosTokenIds.join(', ')} is not among its ${vocabSize} tokens`;
    warnings.push(`the model ${what}; answers end at max_tokens or a stop string`);
  }
  if (chatTemplate === null) {
    warnings.push(
      'the model has no chat template: /v1/completions works, chats are refused unless --chat-template gives one',
    );
  }
  const problem = chatTemplate?.problem();
  if (problem) warnings.push(`${problem}, not even for one user message`);
  return warnings;
}
