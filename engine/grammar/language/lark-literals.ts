import { OctavoError } from '../../errors.js';
import { choiceOf, type Expression, hasLoneSurrogate, sequenceOf, text } from './expression.js';
import type { Refuse, Token } from './lark-tokens.js';
import { parseRegex } from './regex.js';

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  f: '\f',
  b: '\b',
  '0': '\0',
};

/** A text whose letters may be capitals or not. */
export function anyCase(value: string, { line }: Token, refuse: Refuse): Expression {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (!/^[\0-\x7f]*$/.test(value)) {
    throw refuse('a text of any case has ASCII characters only', line);
  }
  const cases = Array.from(value, (character) =>
    choiceOf([...new Set([character.toLowerCase(), character.toUpperCase()])].map(text)),
  );
  return sequenceOf(cases);
}

/** What a text between quotes means. */
export function unescaped({ value, line }: Token, refuse: Refuse): string {
  const inner = value.slice(1, value.lastIndexOf('"'));
  const plain = inner.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))/gu,
    (whole, two?: string, four?: string, one?: string) => {
      const code = two ?? four;
      if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
      const known = one !== undefined && Object.hasOwn(ESCAPES, one) ? ESCAPES[one] : undefined;
      if (known === undefined && /[a-zA-Z0-9]/.test(one ?? '')) {
        throw refuse(`${whole} is not an escape`, line);
      }
      return known ?? one ?? '';
    },
  );
  if (hasLoneSurrogate(plain)) throw refuse('half of a surrogate pair is no text', line);
  return plain;
}

/** @param param the request field, which messages of the reader of regular expressions name */
export function regexOf({ value, line }: Token, param: string, refuse: Refuse): Expression {
  const end = value.lastIndexOf('/');
  const flags = value.slice(end + 1);
  const unknown = flags.replaceAll(/[su]/g, '');
  if (unknown !== '') throw refuse(`the flag ${unknown} of a regular expression`, line);
  let source = value.slice(1, end);
  if (flags.includes('s')) {
    // Any character at all: `[^]` of JavaScript.
    source = source.replaceAll(/\\.|\[(?:\\.|[^\]\\])*\]|\./gu, (part) =>
      part === '.' ? '[^]' : part,
    );
  }
  try {
    return parseRegex(source, 'whole', param);
  } catch (error) {
    if (!(error instanceof OctavoError)) throw error;
    const problem = error.message.replace(`${param}: `, '');
    throw refuse(problem, line);
  }
}
