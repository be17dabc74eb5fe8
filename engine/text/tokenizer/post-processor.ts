import { type Component, isObject } from './component.js';

/** The special tokens around a text. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

export const NO_FRAME: Frame = { before: [], after: [] };

/** @throws OctavoError `model_unsupported` */
export function readFrame(part: Component): Frame {
  switch (part.type) {
    case 'ByteLevel':
      // It changes offsets only.
      return NO_FRAME;
    case 'Sequence':
      return part
        .parts('processors')
        .map(readFrame)
        .reduce(
          (inner, outer) => ({
            before: [...outer.before, ...inner.before],
            after: [...inner.after, ...outer.after],
          }),
          NO_FRAME,
        );
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: [idOfPair(part, 'cls')], after: [idOfPair(part, 'sep')] };
    case 'TemplateProcessing':
      return readTemplate(part);
    default:
      throw part.unsupported();
  }
}

/** `["<s>", 0]` */
function idOfPair(part: Component, name: string): number {
  const pair = part.raw(name);
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id === 'number') return id;
  throw part.unsupported(`without an id for ${name}`);
}

function readTemplate(part: Component): Frame {
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

function idsOf(part: Component, tokens: unknown, name: string): number[] {
  const token = isObject(tokens) ? tokens[name] : undefined;
  const ids = isObject(token) ? token['ids'] : undefined;
  if (Array.isArray(ids) && ids.every((id) => typeof id === 'number')) return ids;
  throw part.unsupported(`without ids for ${name}`);
}
