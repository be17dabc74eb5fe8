import fc from 'fast-check';

/** A piece of a body that is written as it stands, whether it is JSON or not. */
export class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The body's text: JSON, except where it is raw. */
export function bodyText(value: unknown): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(bodyText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, of]) => `${JSON.stringify(key)}:${bodyText(of)}`,
  );
  return `{${members.join(',')}}`;
}

const nested = (open: string, close: string, depth: number): string =>
  open.repeat(depth) + close.repeat(depth);

const SMALL = [
  // Wrong types.
  'null',
  'true',
  'false',
  '""',
  '"x"',
  '[]',
  '{}',
  '[null]',
  '[[]]',
  '[{}]',
  '{"a":1}',
  '[1,"x"]',
  // Numbers at the edges of what is one, and beyond.
  '0',
  '-0',
  '-1',
  '1.5',
  '5e-324',
  '1e308',
  '1e309',
  '-1e309',
  '1e999999',
  '4294967296',
  '2147483648',
  '9007199254740992',
  '9007199254740993',
  '123456789012345678901234567890',
  'NaN',
  'Infinity',
  '-Infinity',
  '01',
  '+1',
  '.5',
  '0x10',
  'undefined',
  "'x'",
  '1n',
  '{',
  '"',
  // Texts that are none, or that mean something elsewhere.
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\uffff"',
  '"\u0000"',
  '"\ud800"',
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '"../../etc/passwd"',
  '"<end>"',
  '"<|im_end|>"',
  // Objects whose keys are names of the language.
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"toString":1,"valueOf":1,"hasOwnProperty":1}',
  '{"length":4294967295}',
  '{"then":"x"}',

  '{"a":1,"a":2}',
  '{"type":"object","type":"text"}',
  '{"toJSON":"x"}',
  '{"0":1,"-1":2,"1e3":3}',
];

/** Made when they are needed: some have 10 MB. */
const HUGE: readonly (() => string)[] = [
  () => nested('[', ']', 10_000),
  () => nested('{"a":', '}', 10_000).replace('}', '1}'),
  () => nested('{"type":"array","items":', '}', 10_000).replace('}', '{}}'),
  () => `[${'0,'.repeat(99_999)}0]`,
  () => `[${'"a",'.repeat(99_999)}"a"]`,
  () => `[${'{},'.repeat(99_999)}{}]`,
  () => `[${'[1],'.repeat(99_999)}[1]]`,
  () => `[${'{"role":"user","content":"a"},'.repeat(50_000)}{"role":"user","content":"a"}]`,
  () => `{${Array.from({ length: 100_000 }, (_, i) => `"${i}":1`).join(',')}}`,
  () => `"${'x'.repeat(1_000_000)}"`,
  () => `"${'\\ud83d'.repeat(100_000)}"`,
  () => `"${'x'.repeat(10_000_000)}"`,
  () => `"${'x'.repeat(11_000_000)}"`,
  () => '9'.repeat(100_000),
];

/** Some that are large when they are parsed, too. */
export const LARGE: readonly string[] = [
  `[${'{},'.repeat(50_000)}{}]`,
  `{${Array.from({ length: 20_000 }, (_, i) => `"${i}":1`).join(',')}}`,
  `"${'x'.repeat(500_000)}"`,
];

/** Texts to put into a body; one in `rarity` is huge. */
export const hostileTexts = (rarity: number): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: rarity - 1, arbitrary: fc.constantFrom(...SMALL) },
    { weight: 1, arbitrary: fc.constantFrom(...HUGE).map((make) => make()) },
  );

const KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '',
  '\0',
  '\ud800',
  'x',
  'k'.repeat(5000),
];

/** How a body is spoilt. */
export interface Mutation {
  readonly kind: 'replace' | 'remove' | 'add';
  /** Which of the places of the body: any number. */
  readonly place: number;
  readonly key: string;
  readonly text: string;
}

/** @param fields of the request: to spoil one that is known finds more than a new one does */
export const mutations = (fields: readonly string[], rarity: number): fc.Arbitrary<Mutation> =>
  fc.record({
    kind: fc.constantFrom('replace', 'replace', 'add', 'add', 'remove'),
    place: fc.nat(1000),
    key: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom(...fields) },
      { weight: 1, arbitrary: fc.constantFrom(...KEYS) },
    ),
    text: hostileTexts(rarity),
  });

/** The same value with one place of it spoilt. A key may be there twice afterwards. */
export function mutated(value: unknown, { kind, place, key, text }: Mutation): unknown {
  if (kind === 'add') return withMember(value, key, text);
  const paths = pathsOf(value);
  const path = paths[place % paths.length] ?? [];
  return replaced(value, path, kind === 'remove' ? undefined : new Raw(text));
}

function withMember(value: unknown, key: string, text: string): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Raw) return new Raw(text);
  const inner = bodyText(value).slice(1, -1);
  return new Raw(`{${inner}${inner === '' ? '' : ','}${JSON.stringify(key)}:${text}}`);
}

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null || value instanceof Raw) return [path];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const inner = keys.flatMap((key) =>
    pathsOf((value as Record<string | number, unknown>)[key], [...path, key]),
  );
  return [...inner, path];
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by ?? new Raw('');
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, index) => {
      if (index !== key) return [item];
      return rest.length === 0 && by === undefined ? [] : [replaced(item, rest, by)];
    });
  }
  const members = Object.entries(value as object).flatMap(([name, item]: [string, unknown]) => {
    if (name !== key) return [[name, item] as const];
    return rest.length === 0 && by === undefined ? [] : [[name, replaced(item, rest, by)] as const];
  });
  return Object.fromEntries(members);
}
