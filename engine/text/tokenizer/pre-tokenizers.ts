import { characterOf } from '../byte-level.js';
import { type Component, literal } from './component.js';
import { type Cut, cutPiece, type Piece, type SplitBehavior } from './split.js';

/** Splits a piece into smaller ones; no token crosses their borders. */
export type PreTokenizer = (piece: Piece) => Piece[];

const BEHAVIORS: readonly string[] = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] satisfies SplitBehavior[];

const SPACE = /\p{White_Space}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
const NUMBER = /\p{N}/gu;
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

/**
 * GPT-2's pattern (Radford et al. 2019) with Unicode's white space. JavaScript's `\s` includes the
 * byte order mark, but not U+0085.
 */
const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** @throws OctavoError `model_unsupported`, `model_file_corrupt` */
export function createPreTokenizer(part: Component): PreTokenizer {
  switch (part.type) {
    case 'Sequence': {
      const steps = part.parts('pretokenizers').map(createPreTokenizer);
      return (piece) => steps.reduce((pieces, step) => pieces.flatMap(step), [piece]);
    }
    case 'Split':
      return cutter({
        pattern: part.pattern(),
        behavior: behaviorOf(part),
        invert: part.flag('invert', false),
      });
    case 'Punctuation':
      return cutter({ pattern: PUNCTUATION, behavior: behaviorOf(part, 'Isolated') });
    case 'Digits': {
      const isAlone = part.flag('individual_digits', false);
      return cutter({ pattern: NUMBER, behavior: isAlone ? 'Isolated' : 'Contiguous' });
    }
    case 'Whitespace':
      return cutter({ pattern: WORDS, behavior: 'Removed', invert: true });
    case 'WhitespaceSplit':
      return cutter({ pattern: SPACE, behavior: 'Removed' });
    case 'CharDelimiterSplit':
      return cutter({ pattern: literal(part.text('delimiter')), behavior: 'Removed' });
    case 'BertPreTokenizer': {
      const words = cutter({ pattern: SPACE, behavior: 'Removed' });
      const marks = cutter({ pattern: PUNCTUATION, behavior: 'Isolated' });
      return (piece) => words(piece).flatMap(marks);
    }
    case 'FixedLength': {
      const pattern = new RegExp(`[^]{1,${part.integer('length', 5)}}`, 'gu');
      return cutter({ pattern, behavior: 'Isolated' });
    }
    case 'Metaspace':
      return metaspace(part);
    case 'ByteLevel':
      return byteLevel(part);
    default:
      throw part.unsupported();
  }
}

function cutter(cut: Cut): PreTokenizer {
  return (piece) => cutPiece(piece, cut);
}

function behaviorOf(part: Component, standard?: SplitBehavior): SplitBehavior {
  const behavior = part.text('behavior', standard);
  if (BEHAVIORS.includes(behavior)) return behavior as SplitBehavior;
  throw part.unsupported(`with the behavior ${behavior}`);
}

function metaspace(part: Component): PreTokenizer {
  const mark = part.text('replacement', '▁');
  // Older files state this flag instead of a scheme.
  const before = part.flag('add_prefix_space', true) ? 'always' : 'never';
  const scheme = part.text('prepend_scheme', before);
  if (!['always', 'first', 'never'].includes(scheme)) {
    throw part.unsupported(`with the prepend_scheme ${scheme}`);
  }
  const isSplit = part.flag('split', true);
  const cut: Cut = { pattern: literal(mark), behavior: 'MergedWithNext' };
  return ({ text, opens }) => {
    const marked = text.replaceAll(' ', mark);
    const isPrepended =
      !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && opens));
    const piece = { text: isPrepended ? mark + marked : marked, opens };
    return isSplit ? cutPiece(piece, cut) : [piece];
  };
}

function byteLevel(part: Component): PreTokenizer {
  const addsSpace = part.flag('add_prefix_space', true);
  const cuts = part.flag('use_regex', true);
  return ({ text, opens }) => {
    const piece = { text: addsSpace && !text.startsWith(' ') ? ` ${text}` : text, opens };
    const pieces = cuts ? cutPiece(piece, { pattern: GPT2, behavior: 'Isolated' }) : [piece];
    return pieces.map((word) => ({ text: visibleBytes(word.text), opens: word.opens }));
  };
}

function visibleBytes(text: string): string {
  let visible = '';
  for (const byte of Buffer.from(text)) visible += characterOf(byte);
  return visible;
}
