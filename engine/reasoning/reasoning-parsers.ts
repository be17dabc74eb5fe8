import { HARMONY_REASONING } from './harmony.js';
import type { ReasoningForm } from './reasoning-form.js';
import { taggedReasoning } from './tagged-reasoning.js';

const FORMS = {
  think: taggedReasoning('think', ['<think>', '</think>']),
  mistral: taggedReasoning('mistral', ['[THINK]', '[/THINK]']),
  granite: taggedReasoning('granite', ['Here is my thought process:', 'Here is my response:']),
  apertus: taggedReasoning('apertus', ['<|inner_prefix|>', '<|inner_suffix|>']),
  gemma4: taggedReasoning('gemma4', ['<|channel>thought', '<channel|>']),
  openai: HARMONY_REASONING,
} as const satisfies Readonly<Record<string, ReasoningForm>>;

const FORM_NAMES = Object.keys(FORMS) as (keyof typeof FORMS)[];

/** Values of `--reasoning-parser`. */
export const REASONING_PARSERS = ['auto', ...FORM_NAMES, 'none'] as const;

export type ReasoningParserName = (typeof REASONING_PARSERS)[number];

/** Words of templates, all of which must occur, and the form that they tell; the first counts. */
const SIGNS: readonly (readonly [words: readonly string[], name: keyof typeof FORMS])[] = [
  [['<|channel|>analysis'], 'openai'],
  [['<|channel|>', '<|start|>', '<|message|>'], 'openai'],
  [['<|channel>'], 'gemma4'],
  [['<|inner_prefix|>'], 'apertus'],
  [['[THINK]'], 'mistral'],
  [['Here is my thought process:'], 'granite'],
  [['<think>'], 'think'],
];

/**
 * How a model marks its reasoning, recognized from the template, which writes it, opens it or
 * takes it out of earlier turns.
 *
 * @param template source of the chat template; empty when there is none
 * @returns null when nothing is read as reasoning
 */
export function chooseReasoning(
  parser: ReasoningParserName,
  template: string,
): ReasoningForm | null {
  if (parser === 'none') return null;
  if (parser !== 'auto') return FORMS[parser];
  const sign = SIGNS.find(([words]) => words.every((word) => template.includes(word)));
  return sign ? FORMS[sign[1]] : null;
}
