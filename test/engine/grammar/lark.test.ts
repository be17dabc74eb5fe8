import { describe, expect, it } from 'vitest';
import { parseLark } from '../../../engine/grammar/language/lark.js';
import { COMMON_TERMINALS } from '../../../engine/grammar/language/lark-common.js';
import { languageOf } from '../../support/grammar-language.js';

const language = (source: string, inJson = false) =>
  languageOf({ kind: 'structure', parts: [{ kind: 'lark', source, inJson }] });

/** That of the tool with which Codex changes files, as it offers it. */
const PATCH = `start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
`;
const ADD = '*** Begin Patch\n*** Add File: a "b".ts\n+x\n+\n*** End Patch';

describe('the texts of a Lark grammar', () => {
  it.each<[string, string, string[], string[]]>([
    ['a text', 'start: "a\\n\\"\\u00e9"', ['a\n"é'], ['a', 'ané']],
    ['any case', 'start: "aB1"i', ['ab1', 'AB1'], ['ab']],
    [
      'alternatives on lines',
      'start: "a"\n     | "b"\n\n  // c\n  | "c"',
      ['a', 'b', 'c'],
      ['', 'd'],
    ],
    ['nothing', 'start: "a" |', ['a', ''], ['aa']],
    [
      'a range and counts',
      'start: "a".."c" "x"~2 ("y"~0..1) ["z"]',
      ['axx', 'cxxyz'],
      ['dxx', 'axxx', 'axxyy'],
    ],
    ['groups over lines', 'start: (\n  "a"\n  | "b"\n)+', ['ab', 'b'], ['', 'c']],
    [
      'rules that refer to each other',
      '?start: value\n!value: "x" | "(" value ")" -> group',
      ['x', '((x))'],
      ['(x', ''],
    ],
    ['regular expressions', 'start: /a.c/ /[^"\\/]+\\//s /./s', ['abcx/\n', 'a/cé/é'], ['a\ncx/b']],
    [
      'terminals',
      '%import common (INT, CNAME)\n%import common.NUMBER -> N\nstart: CNAME "=" (INT | N | T)\nT: "t" T2\nT2: /r+/',
      ['a_1=12', 'x=1.5e3', 'x=tr'],
      ['1=2', 'x=t'],
    ],
    [
      'what is ignored',
      '%import common.WS\nstart: "a" B ("," B)*\nB: "b" "c"\n%ignore WS\n%ignore "#"',
      ['abc', 'a bc , # bc\n'],
      [' abc', 'ab c'],
    ],
  ])('%s', async (_, source, inside, outside) => {
    const accepts = await language(source);
    for (const each of inside) expect([each, await accepts(each)]).toEqual([each, true]);
    for (const each of outside) expect([each, await accepts(each)]).toEqual([each, false]);
  });

  it("Codex's patches, as they are and inside of JSON", async () => {
    const update =
      '*** Begin Patch\n*** Update File: a\n*** Move to: b\n@@ f()\n-x\n+\ty\\n\n*** End Patch\n';
    const wrong = [ADD.replace('+x', 'x'), ADD.replace('*** End Patch', ''), `${ADD}x`];
    const plain = await language(PATCH);
    const inJson = await language(PATCH, true);
    for (const [all, expected] of [
      [[ADD, update], true],
      [wrong, false],
    ] as const) {
      for (const text of all) {
        const escaped = JSON.stringify(text).slice(1, -1);
        expect([text, await plain(text), await inJson(escaped)]).toEqual([
          text,
          expected,
          expected,
        ]);
      }
    }
    expect(await inJson(ADD)).toBe(false);
  });

  it('of each terminal of common', async () => {
    const texts: Readonly<Record<string, [string[], string[]]>> = {
      ESCAPED_STRING: [
        ['"a\\"b"', '""'],
        ['"a', '"\n"'],
      ],
      C_COMMENT: [
        ['/* a * / **/', '/**/'],
        ['/* */ */', '/*/'],
      ],
      SIGNED_FLOAT: [
        ['-1.5', '+.5e3', '2e-1'],
        ['1', '.'],
      ],
      NEWLINE: [['\n', '\r\n\n'], ['\r']],
      SQL_COMMENT: [['--x'], ['-- \n']],
      CPP_COMMENT: [['//', '// x'], ['/']],
    };
    for (const name of Object.keys(COMMON_TERMINALS)) {
      const accepts = await language(`%import common.${name}\nstart: ${name}`);
      const [inside, outside] = texts[name] ?? [[], ['é']];
      for (const each of inside)
        expect([name, each, await accepts(each)]).toEqual([name, each, true]);
      for (const each of outside)
        expect([name, each, await accepts(each)]).toEqual([name, each, false]);
    }
  });
});

it('a chain of terminals is no recursion, however long it is', () => {
  const links = Array.from({ length: 20_000 }, (_, i) => `A${i}: A${i + 1}`);
  const chain = (end: string): string => ['start: A0', ...links, `A20000: ${end}`].join('\n');
  expect(parseLark(chain('"x"'), 'field').rules.size).toBe(20_003);
  expect(() => parseLark(chain('A7'), 'field')).toThrow(/the terminal A\d+ refers to itself/);
});

describe('what cannot be taken is named with its line', () => {
  it.each<[string, RegExp]>([
    ['rule: "a"', /there is no rule start \(line 1\)/],
    ['start: a', /a is not defined \(line 1\)/],
    ['start: "a"\nstart: "b"', /start is there twice \(line 2\)/],
    ['start: "a"\nA.2: "a"', /the priority of a terminal is not supported \(line 2\)/],
    ['start: t{"a"}\nt{x}: x', /unexpected: \{ \(line 1\)/],
    ['t{x}: x\nstart: "a"', /templates are not supported \(line 1\)/],
    ['start: A\nA: "a" b\nb: "c"', /the terminal A refers to the rule b \(line 2\)/],
    ['start: A\nA: "a" B\nB: A?', /the terminal A refers to itself \(line 2\)/],
    ['%import python.NAME\nstart: "a"', /only common can be imported, not python \(line 1\)/],
    ['%import common.NAME\nstart: "a"', /common has no NAME \(line 1\)/],
    ['\n%declare X\nstart: "a"', /%declare is not supported \(line 2\)/],
    ['start: /a/i', /the flag i of a regular expression \(line 1\)/],
    ['start: "a"\n  | /(?=a)/', /look-around.*\(line 2\)/],
    ['start: "\\q"', /\\q is not an escape \(line 1\)/],
    ['start: "ab".."c"', /one character at each end/],
    ['start: "é"i', /ASCII/],
    ['start: ("a"', /unexpected: an end/],
    ['start: "a"~3..2', /~3\.\.2: must rise/],
    ['start: "a\n', /cannot be read: "a \(line 1\)/],
    ['start "a"', /expected : behind start/],
    [`start: ${'('.repeat(300)}`, /more than 200 nested groups/],
  ])('%j', (source, problem) => {
    expect(() => parseLark(source, 'grammar')).toThrow(problem);
  });
});
