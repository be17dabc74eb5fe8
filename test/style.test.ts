import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './support/import-graph.js';

/** Folders with code of our own. */
const FOLDERS = ['kvcache', 'scheduler', 'engine', 'server', 'bench', 'test', 'examples', 'deploy'];
/** Folders with text that is generated, published or compared with. */
const FOREIGN =
  /(^|\/)(node_modules|\.venv|fixtures|results|generated|onnx_pb\.ts|uPlot[^/]*)(\/|$)/;
const WIDTH = 100;

/** British spellings. `cancelled` is allowed: it is the word of the APIs. */
const BRITISH = new RegExp(
  [
    '(authori|categori|customi|emphasi|externali|finali|generali|initiali|maximi|memori|minimi)s(e|ing|ation|able)',
    '(normali|optimi|organi|paralleli|prioriti|quanti|recogni|regulari|seriali|speciali|standardi)s(e|ing|ation|able)',
    '(summari|synchroni|tokeni|utili|vectori|visuali)s(e|ing|ation|able)',
    '(behavi|col|fav|flav|hon|lab|neighb)our',
    '(artefact|centre|grey|labelled|licence|misspelt|modelling|tunnell|whilst)',
  ].join('|'),
  'i',
);

/** Words and names that others have chosen, by file. */
const CHOSEN_BY_OTHERS: readonly (readonly [file: string, text: string])[] = [
  // The title of a paper.
  ['engine/grammar/language/multiples.ts', 'Minimisation'],
  // HTML's attribute.
  ['server/pages/dashboard.html', 'aria-labelledby'],
  // The schema of a published measurement.
  ['bench/grammar.ts', 'colour'],
];

/** Subjects that hide who acts (a caller, a reader, a thread), and figures of speech. */
const IDIOMS = /\b(nobody|somebody|everybody|anybody|whoever|misfortunes?|births?|anew)\b/i;

const files = [
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => posix.join(entry.parentPath.slice(ROOT.length), entry.name)),
  ),
  ...readdirSync(ROOT).filter((name) => /\.(ts|md)$/.test(name)),
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => posix.join('docs', name)),
].filter((file) => !FOREIGN.test(file));

const sources = files.filter((file) => /\.(ts|mts|mjs)$/.test(file));

interface Line {
  /** `file:line` */
  readonly at: string;
  readonly text: string;
}

function linesOf(file: string): Line[] {
  const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
  return lines.map((text, i) => ({ at: `${file}:${i + 1}`, text }));
}

/** The comment that a line of code is, or ends in; null without one. */
function commentOf(text: string): string | null {
  return /^\s*(\/\/|\/\*|\*( |$))/.test(text)
    ? text
    : (/\s\/\/ .*$/.exec(withoutTexts(text))?.[0] ?? null);
}

/** Code without the contents of its strings: prompts and messages are not ours to spell. */
function withoutTexts(text: string): string {
  return text.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`/g, "''");
}

const show = ({ at, text }: Line): string => `${at}: ${text.trim()}`;

describe('style', () => {
  it('finds the files', () => {
    expect(sources.length).toBeGreaterThan(700);
    expect(files).toContain('engine/importer/graph.ts');
  });

  it('comments are at most 100 columns wide', () => {
    const wide = sources
      .flatMap(linesOf)
      .filter(({ text }) => text.length > WIDTH && commentOf(text) !== null)
      // A link or a directive to a tool cannot be wrapped.
      .filter(({ text }) => !/https?:\/\/|(biome|oxlint|v8)-?\s?(ignore|disable)/.test(text));
    expect(wide.map(show)).toEqual([]);
  });

  it('spelling is American, in code, comments and pages', () => {
    const found = files
      .filter((file) => /\.(ts|mts|mjs|css|html|md)$/.test(file))
      .flatMap(linesOf)
      .filter(({ at, text }) => {
        const code = /\.(ts|mts|mjs):/.test(at) && commentOf(text) === null;
        const chosen = CHOSEN_BY_OTHERS.filter(([file]) => at.startsWith(`${file}:`));
        const own = chosen.reduce((rest, [, word]) => rest.replaceAll(word, ''), text);
        return BRITISH.test(code ? withoutTexts(own) : own);
      });
    expect(found.map(show)).toEqual([]);
    expect(files.filter((file) => BRITISH.test(file))).toEqual([]);
  });

  it('comments name who acts', () => {
    const found = sources.flatMap(linesOf).filter(({ text }) => IDIOMS.test(commentOf(text) ?? ''));
    expect(found.map(show)).toEqual([]);
  });
});
