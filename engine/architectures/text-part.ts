import type { Checkpoint } from '../checkpoint/stored-tensor.js';
import type { Config } from './config.js';

/** What stands before the names of a text model's weights inside of a model of text and images. */
const PREFIXES: readonly (readonly [RegExp, string])[] = [
  [/^language_model\.model\./, 'model.'],
  [/^model\.language_model\./, 'model.'],
  [/^language_model\.lm_head\./, 'lm_head.'],
  [/^lm_head\./, 'lm_head.'],
];

/**
 * A checkpoint with the names that its family's description uses: of a model of text and images,
 * the text model alone; of GPT-2, without the prefix that some of its checkpoints have.
 */
export function textPart(config: Config, checkpoint: Checkpoint): Checkpoint {
  const rename = config.has('text_config')
    ? textName
    : (name: string): string => name.replace(/^transformer\./, '');
  const tensors = new Map(
    [...checkpoint.tensors].flatMap(([name, tensor]) => {
      const own = rename(name);
      return own === null ? [] : [[own, tensor] as const];
    }),
  );
  return { ...checkpoint, tensors };
}

function textName(name: string): string | null {
  for (const [prefix, own] of PREFIXES) {
    if (prefix.test(name)) return name.replace(prefix, own);
  }
  return null;
}
