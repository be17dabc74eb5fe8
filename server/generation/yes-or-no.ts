import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import type { Span } from '../../engine/text/spans.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import type { ReadPrompt } from './embed.js';
import type { PairTexts } from './text-pairs.js';

// Decoders as rerankers, as Qwen3-Reranker was trained (Zhang et al. 2025, and its model card): the
// model is asked whether a document answers a query, and the score is how likely its yes is.

const SYSTEM =
  'Judge whether the Document meets the requirements based on the Query and the Instruct provided. ' +
  'Note that the answer can only be "yes" or "no".';

export const STANDARD_INSTRUCTION =
  'Given a web search query, retrieve relevant passages that answer the query';

/** The tokens whose probabilities are compared. */
const LABELS = ['no', 'yes'] as const;

/**
 * The prompts of pairs, each with both answers as labels.
 *
 * @throws OctavoError `task_unsupported` for a model without the template's tokens;
 *   `context_length_exceeded`
 */
export async function judgePrompts(
  { firsts, seconds, pairs, param, cutTo }: PairTexts,
  instruction: string,
  service: ModelService,
  asker: Asker,
): Promise<ReadPrompt[]> {
  const { model, prompts, engine } = service;
  const labels = LABELS.map((word) => model.tokenizer.tokenId(word));
  const [no, yes] = labels;
  if (
    no === undefined ||
    yes === undefined ||
    model.tokenizer.tokenId('<|im_start|>') === undefined
  ) {
    const message =
      `the model '${service.name}' is no reranker: it has no tokens for yes, no and <|im_start|>; ` +
      'name a cross-encoder, Qwen3-Reranker, or a model of embeddings';
    throw new OctavoError('task_unsupported', message, { param: 'model' });
  }
  const context = cutTo ?? engine.info.maxModelLength;
  const encoding = { addSpecialTokens: false, param };
  const asked: ReadPrompt[] = [];
  const tail = await prompts.encode({ text: TAIL, client: [] }, encoding, asker);
  for (const [a, b] of pairs) {
    const { text, client } = judgeText(instruction, firsts[a], seconds[b]);
    let head = await prompts.encode({ text, client }, encoding, asker);
    const promptTokens = head.length + tail.length;
    if (promptTokens > context) {
      if (cutTo === null) throw contextExceeded({ context, promptTokens, wanted: null, param });
      head = head.slice(0, Math.max(1, context - tail.length));
    }
    asked.push({ promptTokenIds: [...head, ...tail], labels: [no, yes] as TokenId[] });
  }
  return asked;
}

const TAIL = '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';

/** Texts of clients cannot write the template's own tokens. */
function judgeText(
  instruction: string,
  query: string,
  document: string,
): { readonly text: string; readonly client: readonly Span[] } {
  let text = `<|im_start|>system\n${SYSTEM}<|im_end|>\n<|im_start|>user\n`;
  const client: Span[] = [];
  for (const [name, value] of [
    ['<Instruct>: ', instruction],
    ['\n<Query>: ', query],
    ['\n<Document>: ', document],
  ]) {
    text += name;
    client.push({ start: text.length, end: text.length + value.length });
    text += value;
  }
  return { text, client };
}

/** @param logprobs of no and of yes @returns 0 to 1 */
export function yesShare([no, yes]: readonly number[]): number {
  return 1 / (1 + Math.exp(no - yes));
}
