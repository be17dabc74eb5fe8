import { Template } from './jinja-library.js';

/** `{% ... %}` or `{{ ... }}` of a template. */
interface Tag {
  readonly text: string;
  /** From 1. */
  readonly line: number;
  /** The word that a statement begins with; null for an expression. */
  readonly keyword: string | null;
}

/** Statements that end with `end` and their word. */
const BLOCKS = new Set(['if', 'for', 'macro', 'call', 'filter', 'generation']);

/** Where `else` may stand. */
const WITH_ELSE = new Set(['if', 'for']);

/**
 * What is wrong with a template that does not parse, and in which line: the library's parser knows
 * no lines, so that each tag is parsed by itself here.
 *
 * @param whole what the library says of the whole template
 */
export function problemWithLine(source: string, whole: string): string {
  try {
    const tags = tagsOf(source);
    checkBlocks(tags);
    for (const tag of tags) parseAlone(tag);
  } catch (error) {
    if (error instanceof Problem) return `line ${error.line}: ${error.message}`;
  }
  return whole;
}

class Problem extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** @throws Problem for a tag, or a comment, that is not closed */
function tagsOf(source: string): Tag[] {
  const tags: Tag[] = [];
  let line = 1;
  let at = 0;
  const moveTo = (place: number): void => {
    for (; at < place; at++) if (source[at] === '\n') line += 1;
  };
  for (;;) {
    const begin = source.slice(at).search(/\{[{%#]/);
    if (begin < 0) return tags;
    moveTo(at + begin);
    const mark = source[at + 1];
    const end = mark === '#' ? source.indexOf('#}', at + 2) : endOfTag(source, at + 2, mark);
    if (end < 0) throw new Problem(line, `{${mark} is not closed`);
    const text = source.slice(at, end + 2);
    const keyword = mark === '%' ? (/^\{%[-+]?\s*(\w*)/.exec(text)?.[1] ?? '') : null;
    if (mark !== '#') tags.push({ text, line, keyword });
    moveTo(end + 2);
  }
}

/** Index of the closing mark, outside of texts and objects; -1 where there is none. */
function endOfTag(source: string, from: number, mark: string): number {
  const close = mark === '{' ? '}}' : '%}';
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    const character = source[at];
    if (depth === 0 && source.startsWith(close, at)) return at;
    if (character === '{') depth += 1;
    if (character === '}') depth = Math.max(0, depth - 1);
    if (character !== '"' && character !== "'") continue;
    for (at++; at < source.length && source[at] !== character; at++) {
      if (source[at] === '\\') at += 1;
    }
  }
  return -1;
}

/** @throws Problem for a block that is not closed, and for the end of another one */
function checkBlocks(tags: readonly Tag[]): void {
  const open: Tag[] = [];
  for (const tag of tags) {
    const { keyword, line } = tag;
    const last = open.at(-1);
    if (keyword === null) continue;
    if (BLOCKS.has(keyword) || isSetBlock(tag)) open.push(tag);
    else if (keyword === 'elif' && last?.keyword !== 'if') {
      throw new Problem(line, 'elif is in no if');
    } else if (keyword === 'else' && !WITH_ELSE.has(last?.keyword ?? '')) {
      throw new Problem(line, 'else is in no if or for');
    } else if (keyword.startsWith('end')) {
      if (last === undefined) throw new Problem(line, `${keyword} closes nothing`);
      if (keyword !== `end${last.keyword}`) {
        throw new Problem(line, `${keyword} closes the ${last.keyword} of line ${last.line}`);
      }
      open.pop();
    }
  }
  const [first] = open;
  if (first) throw new Problem(first.line, `${first.keyword} is not closed`);
}

const isSetBlock = ({ keyword, text }: Tag): boolean => keyword === 'set' && !text.includes('=');

/** @throws Problem with the library's words */
function parseAlone(tag: Tag): void {
  const { keyword, text, line } = tag;
  if (keyword === 'else' || keyword?.startsWith('end') === true) return;
  let source = text;
  if (keyword === 'elif') source = `{% if true %}${text}{% endif %}`;
  else if (keyword !== null && (BLOCKS.has(keyword) || isSetBlock(tag))) {
    source = `${text}{% end${keyword} %}`;
  }
  try {
    new Template(source);
  } catch (error) {
    throw new Problem(line, error instanceof Error ? error.message : String(error));
  }
}
