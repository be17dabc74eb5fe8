import { type Component, isObject } from './component.js';

/** The special tokens around a text. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Those around two texts that are read as a pair; null where the file does not say. */
  readonly pair: PairFrame | null;
}

/** `before`, the first text, `between`, the second, `after`. */
export interface PairFrame {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
  /**
   * Index in `between` of the first token of type 1, as which everything behind it counts;
   * `between.length`: the second text begins it; null: all tokens are of type 0.
   */
  readonly secondType: number | null;
}

export const NO_FRAME: Frame = { before: [], after: [], pair: null };

/** @throws OctavoError `model_unsupported` */
export function readFrame(part: Component): Frame {
  switch (part.type) {
    case 'ByteLevel':
      // It changes offsets only.
      return NO_FRAME;
    case 'Sequence':
      return part.parts('processors').map(readFrame).reduce(around, NO_FRAME);
    case 'BertProcessing': {
      const [cls, sep] = [idOfPair(part, 'cls'), idOfPair(part, 'sep')];
      const pair = { before: [cls], between: [sep], after: [sep], secondType: 1 };
      return { before: [cls], after: [sep], pair };
    }
    case 'RobertaProcessing': {
      const [cls, sep] = [idOfPair(part, 'cls'), idOfPair(part, 'sep')];
      const pair = { before: [cls], between: [sep, sep], after: [sep], secondType: null };
      return { before: [cls], after: [sep], pair };
    }
    case 'TemplateProcessing': {
      const { before, after } = readTemplate(part);
      return { before, after, pair: readPairTemplate(part) };
    }
    default:
      throw part.unsupported();
  }
}

/** What one processor has made, in what the next puts around it. */
function around(inner: Frame, outer: Frame): Frame {
  return {
    before: [...outer.before, ...inner.before],
    after: [...inner.after, ...outer.after],
    // A processor that knows of no pairs leaves what another makes of them.
    pair: outer.pair ?? inner.pair,
  };
}

/** `["<s>", 0]` */
function idOfPair(part: Component, name: string): number {
  const pair = part.raw(name);
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id === 'number') return id;
  throw part.unsupported(`without an id for ${name}`);
}

function readTemplate(part: Component): Omit<Frame, 'pair'> {
  const template = part.raw('single');
  const tokens = part.raw('special_tokens');
  const before: number[] = [];
  const after: number[] = [];
  let side = before;
  for (const item of Array.isArray(template) ? (template as unknown[]) : []) {
    if (isObject(item) && isObject(item['SpecialToken'])) {
      side.push(...idsOf(part, tokens, String(item['SpecialToken']['id'])));
    } else if (side === before) {
      side = after;
    } else {
      throw part.unsupported('that repeats the text');
    }
  }
  if (side === before) throw part.unsupported('without the text');
  return { before, after };
}

/** @returns null for a template without two texts in their order, or with types that go back */
function readPairTemplate(part: Component): PairFrame | null {
  const template = part.raw('pair');
  const tokens = part.raw('special_tokens');
  const sides: number[][] = [[]];
  let secondType: number | null = null;
  for (const item of Array.isArray(template) ? (template as unknown[]) : []) {
    if (!isObject(item)) return null;
    const { SpecialToken: special, Sequence: text } = item;
    const isSpecial = isObject(special);
    const piece = isSpecial ? special : text;
    if (!isObject(piece) || sides.length > 3) return null;
    const side = sides[sides.length - 1];
    if (piece['type_id'] === 1 && secondType === null) {
      // Types change where the second text begins, or right before it.
      if (sides.length !== 2) return null;
      secondType = side.length;
    } else if (piece['type_id'] !== 1 && secondType !== null) {
      return null;
    }
    if (isSpecial) side.push(...idsOf(part, tokens, String(piece['id'])));
    else if (piece['id'] === (sides.length === 1 ? 'A' : 'B')) sides.push([]);
    else return null;
  }
  const [before, between, after] = sides;
  return sides.length === 3 ? { before, between, after, secondType } : null;
}

function idsOf(part: Component, tokens: unknown, name: string): number[] {
  const token = isObject(tokens) ? tokens[name] : undefined;
  const ids = isObject(token) ? token['ids'] : undefined;
  if (Array.isArray(ids) && ids.every((id) => typeof id === 'number')) return ids;
  throw part.unsupported(`without ids for ${name}`);
}
