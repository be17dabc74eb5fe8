import { OctavoError } from '../../../engine/errors.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';

/** The tokens by which a family of models is asked for the text between two others. */
interface Form {
  /** What comes before the text before the gap, and before the text after it. */
  readonly prefix: string;
  readonly suffix: string;
  /** What asks for the text between; null: nothing does. */
  readonly middle: string | null;
  /** Whether the text after the gap comes first. */
  readonly suffixFirst?: true;
}

/** As the models' makers publish them; the first whose tokens a vocabulary has is used. */
const FORMS: readonly Form[] = [
  // Qwen Coder, CodeGemma, Seed Coder
  { prefix: '<|fim_prefix|>', suffix: '<|fim_suffix|>', middle: '<|fim_middle|>' },
  // StarCoder, SmolLM, Granite Code, Refact
  { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>' },
  { prefix: '<fim-prefix>', suffix: '<fim-suffix>', middle: '<fim-middle>' },
  // DeepSeek Coder and V3
  { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>' },
  // CodeLlama
  { prefix: '▁<PRE>', suffix: '▁<SUF>', middle: '▁<MID>' },
  // GLM
  { prefix: '<|code_prefix|>', suffix: '<|code_suffix|>', middle: '<|code_middle|>' },
  // Codestral
  { prefix: '[PREFIX]', suffix: '[SUFFIX]', middle: null, suffixFirst: true },
];

/** Tokens behind which there is no more of the text between. */
const ENDS = [
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
  '<|cursor|>',
  '<|endoftext|>',
  '<fim_pad>',
  '<file_sep>',
  '<reponame>',
  '▁<EOT>',
  '<EOT>',
  '[MIDDLE]',
];

/** Tokens before a repository's name, and before each of its files; the first that is there. */
const REPOSITORY = ['<|repo_name|>', '<repo_name>', '<reponame>'];
const FILE = ['<|file_sep|>', '<file_sep>'];

export interface FillInMiddle {
  /** The prompt for the text between two others. */
  promptOf(before: readonly TokenId[], after: readonly TokenId[]): TokenId[];
  /** That end it, besides those of the model. */
  readonly stops: readonly TokenId[];
  /** By which other files of a repository come before the gap; null: there are none. */
  readonly files: { readonly repository: TokenId; readonly file: TokenId } | null;
}

/**
 * How a model is asked to fill a gap (Bavarian et al. 2022, "Efficient Training of Language Models
 * to Fill in the Middle"): by tokens of its vocabulary.
 *
 * @param param of errors
 * @throws OctavoError `invalid_request` for a model that has no such tokens
 */
export function fillInMiddle(tokenizer: Pick<Tokenizer, 'tokenId'>, param: string): FillInMiddle {
  for (const { prefix, suffix, middle, suffixFirst } of FORMS) {
    const ids = [prefix, suffix, middle].map((text) =>
      text === null ? null : tokenizer.tokenId(text),
    );
    const [begin, hole, end] = ids;
    if (begin === undefined || hole === undefined || end === undefined) continue;
    const stops = ENDS.map((text) => tokenizer.tokenId(text));
    const first = (texts: readonly string[]): TokenId | undefined =>
      texts.map((text) => tokenizer.tokenId(text)).find((token) => token !== undefined);
    const [repository, file] = [first(REPOSITORY), first(FILE)];
    return {
      files: repository === undefined || file === undefined ? null : { repository, file },
      promptOf: (before, after) => {
        const parts = [begin, ...before] as TokenId[];
        const rest = [hole, ...after] as TokenId[];
        const both = suffixFirst ? [...rest, ...parts] : [...parts, ...rest];
        return end === null ? both : [...both, end];
      },
      stops: stops.filter((id) => id !== undefined),
    };
  }
  const message = `${param}: the model has no tokens for filling a gap (fill in the middle)`;
  throw new OctavoError('invalid_request', message, { param });
}
