import { clip } from '../../clip.js';
import type { OctavoError } from '../../errors.js';

/** One word of a grammar; a line break ends a definition, unless `|` begins the next line. */
export interface Token {
  readonly kind: 'name' | 'text' | 'regex' | 'number' | 'sign' | 'directive' | 'line';
  readonly value: string;
  readonly line: number;
}

/** Makes the error for a problem in a line. */
export type Refuse = (problem: string, line: number) => OctavoError;

const TOKENS: readonly [kind: Token['kind'] | 'space', pattern: RegExp][] = [
  ['space', /[ \t\r\f]+|\/\/[^\n]*|#[^\n]*/y],
  ['line', /\n/y],
  ['text', /"(?:[^"\\\n]|\\[^\n])*"i?/y],
  ['regex', /\/(?!\/)(?:[^/\\\n]|\\[^\n])+\/[a-z]*/y],
  ['number', /\d+/y],
  ['name', /[_a-zA-Z][_a-zA-Z0-9]*/y],
  ['directive', /%[a-z]+/y],
  ['sign', /->|\.\.|[:|()[\]?*+~!.,{}]/y],
];

/** Terminals begin with a capital. */
export const isTerminalName = (name: string): boolean => /^_*[A-Z]/.test(name);

/** @throws OctavoError for a place that is no word */
export function tokensOf(source: string, refuse: Refuse): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (let at = 0; at < source.length; ) {
    const found = TOKENS.map(([kind, pattern]) => {
      pattern.lastIndex = at;
      return { kind, value: pattern.exec(source)?.[0] };
    }).find(({ value }) => value !== undefined);
    if (found?.value === undefined) {
      throw refuse(`cannot be read: ${clip(source.slice(at).split('\n')[0])}`, line);
    }
    const { kind, value } = found;
    if (kind !== 'space') tokens.push({ kind, value, line });
    if (kind === 'line') line += 1;
    at += value.length;
  }
  return tokens;
}
