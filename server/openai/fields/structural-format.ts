import { clip } from '../../../engine/clip.js';
import type { StructurePart } from '../../../engine/protocol/request.js';
import {
  countOf,
  delimiterOf,
  excludesOf,
  type Fields,
  listOf,
  objectOf,
  refused,
  textOf,
  textsOf,
} from './structural-fields.js';

/** Whether JSON is compact; absent: it is not. */
export interface JsonStyle {
  readonly compact?: boolean;
}

/** Formats by their type, which are read; all others are refused. */
const FORMATS = [
  'const_string',
  'json_schema',
  'grammar',
  'regex',
  'any_text',
  'sequence',
  'or',
  'optional',
  'plus',
  'star',
  'repeat',
  'tag',
  'triggered_tags',
  'tags_with_separator',
  'dispatch',
] as const;

/** A tag, read. */
interface Tag {
  readonly begin: string;
  /** What follows `begin`. */
  readonly rest: readonly StructurePart[];
}

/**
 * Reads the formats of structural tags. Free text inside of a tag ends as XGrammar finds it: at the
 * end of the nearest tag around it.
 */
export class FormatReader {
  readonly #style: JsonStyle;

  constructor(style: JsonStyle) {
    this.#style = style;
  }

  /**
   * @param at the format's place, for messages
   * @param ends texts that end the nearest tag around it
   * @throws OctavoError `invalid_request`
   */
  format(value: unknown, at: string, ends: readonly string[]): StructurePart[] {
    const fields = objectOf(value, at);
    const inner = (field: string): StructurePart[] =>
      this.format(fields[field], `${at}.${field}`, ends);
    const repeat = (min: number, max: number | null): StructurePart[] => [
      { kind: 'repeat', parts: inner('content'), separator: '', min, max },
    ];
    const type = String(fields['type']) as (typeof FORMATS)[number];
    switch (type) {
      case 'const_string':
        return literal(textOf(fields['value'], `${at}.value`));
      case 'json_schema':
        return this.#jsonSchema(fields, at);
      case 'grammar':
        return [{ kind: 'ebnf', source: textOf(fields['grammar'], `${at}.grammar`) }];
      case 'regex':
        return [{ kind: 'regex', source: textOf(fields['pattern'], `${at}.pattern`) }];
      case 'any_text':
        return this.#anyText(fields, at, ends);
      case 'sequence':
        return this.#elements(fields, at, ends).flat();
      case 'or':
        return [{ kind: 'alternatives', of: this.#elements(fields, at, ends) }];
      case 'optional':
        return repeat(0, 1);
      case 'star':
        return repeat(0, null);
      case 'plus':
        return repeat(1, null);
      case 'repeat': {
        const min = countOf(fields['min'], `${at}.min`, 0);
        const max = countOf(fields['max'], `${at}.max`, -1);
        if (max !== -1 && max < min) throw refused(`${at}.max`, `must be -1, or at least ${min}`);
        return repeat(min, max === -1 ? null : max);
      }
      case 'tag': {
        const { begin, rest } = this.#tag(fields, at);
        return [...literal(begin), ...rest];
      }
      case 'triggered_tags':
        return this.triggered(fields, { tags: `${at}.tags`, triggers: `${at}.triggers` }, [
          ...ends,
          ...excludesOf(fields, at),
        ]);
      case 'tags_with_separator':
        return this.#separated(fields, at);
      case 'dispatch':
        return this.#dispatch(fields, at, ends);
      default:
        throw refused(`${at}.type`, `is ${clip(type)}: must be one of ${FORMATS.join(', ')}`);
    }
  }

  /**
   * Free text, in which a trigger begins one of the tags that begin with it.
   *
   * @param at places of the two lists, for messages
   * @param excludes texts that do not occur in free text
   */
  triggered(
    fields: Fields,
    at: { readonly tags: string; readonly triggers: string },
    excludes: readonly string[],
  ): StructurePart[] {
    const triggers = textsOf(fields['triggers'], at.triggers);
    assertApart(triggers, at.triggers);
    const tags = listOf(fields['tags'], at.tags).map((tag, i) =>
      this.#tag(objectOf(tag, `${at.tags}[${i}]`), `${at.tags}[${i}]`),
    );
    for (const [index, { begin }] of tags.entries()) {
      if (triggers.some((trigger) => begin.startsWith(trigger))) continue;
      throw refused(`${at.tags}[${index}].begin`, `must begin with one of ${at.triggers}`);
    }
    const loop = fields['stop_after_first'] !== true;
    const rules = triggers.map((trigger, index) => {
      const of = tags
        .filter(({ begin }) => begin.startsWith(trigger))
        .map(({ begin, rest }) => literal(begin.slice(trigger.length)).concat(rest));
      if (of.length === 0) throw refused(`${at.triggers}[${index}]`, `begins none of ${at.tags}`);
      return { trigger, parts: [{ kind: 'alternatives', of } as const] };
    });
    const isForced = fields['at_least_one'] === true;
    const apart = apartFrom(triggers, excludes, at.triggers);
    return [{ kind: 'dispatch', rules, excludes: apart, loop, isForced }];
  }

  #jsonSchema(fields: Fields, at: string): StructurePart[] {
    const { json_schema: schema, style = 'json', any_order: anyOrder = false } = fields;
    if (style !== 'json') throw refused(`${at}.style`, `is ${clip(String(style))}: must be json`);
    if (anyOrder !== false) throw refused(`${at}.any_order`, 'must be false');
    if (typeof schema !== 'boolean') objectOf(schema, `${at}.json_schema`);
    return [{ kind: 'json-schema', source: JSON.stringify(schema), ...this.#style }];
  }

  #anyText(fields: Fields, at: string, ends: readonly string[]): StructurePart[] {
    for (const bound of ['max_tokens', 'max_chars']) {
      if ((fields[bound] ?? null) !== null) throw refused(`${at}.${bound}`, 'is not supported');
    }
    const excludes = apartFrom([], [...ends, ...excludesOf(fields, at)], at);
    return [{ kind: 'text-without', excludes }];
  }

  #elements(fields: Fields, at: string, ends: readonly string[]): StructurePart[][] {
    return listOf(fields['elements'], `${at}.elements`).map((element, index) =>
      this.format(element, `${at}.elements[${index}]`, ends),
    );
  }

  #tag(fields: Fields, at: string): Tag {
    if ((fields['type'] ?? 'tag') !== 'tag') throw refused(`${at}.type`, 'must be tag');
    const begin = delimiterOf(fields['begin'], `${at}.begin`);
    const { end: given } = fields;
    const ends = Array.isArray(given)
      ? listOf(given, `${at}.end`).map((end, i) => delimiterOf(end, `${at}.end[${i}]`))
      : [delimiterOf(given, `${at}.end`)];
    const content = this.format(
      fields['content'],
      `${at}.content`,
      ends.filter((end) => end !== ''),
    );
    const last: StructurePart = { kind: 'alternatives', of: ends.map(literal) };
    return { begin, rest: [...content, last] };
  }

  #separated(fields: Fields, at: string): StructurePart[] {
    const of = listOf(fields['tags'], `${at}.tags`).map((value, index) => {
      const place = `${at}.tags[${index}]`;
      const { begin, rest } = this.#tag(objectOf(value, place), place);
      return literal(begin).concat(rest);
    });
    const separator = textOf(fields['separator'], `${at}.separator`);
    const min = fields['at_least_one'] === true ? 1 : 0;
    const max = fields['stop_after_first'] === true ? 1 : null;
    return [{ kind: 'repeat', parts: [{ kind: 'alternatives', of }], separator, min, max }];
  }

  #dispatch(fields: Fields, at: string, ends: readonly string[]): StructurePart[] {
    const rules = listOf(fields['rules'], `${at}.rules`).map((rule, index) => {
      const place = `${at}.rules[${index}]`;
      const [pattern, format] = listOf(rule, place);
      const [trigger] = textsOf([pattern], place);
      return { trigger, parts: this.format(format, `${place}[1]`, ends) };
    });
    const triggers = rules.map(({ trigger }) => trigger);
    assertApart(triggers, `${at}.rules`);
    const given = [...ends, ...excludesOf(fields, at)];
    const excludes = apartFrom(triggers, given, `${at}.rules`);
    const loop = fields['loop'] !== false;
    return [{ kind: 'dispatch', rules, excludes, loop, isForced: false }];
  }
}

/** @throws OctavoError `invalid_request` when one text occurs in another one, or twice */
function assertApart(texts: readonly string[], at: string): void {
  for (const [index, text] of texts.entries()) {
    const other = texts.findIndex((each, i) => i !== index && each.includes(text));
    if (other < 0) continue;
    const problem = `occurs in ${at}[${other}]: it would always be found first`;
    throw refused(`${at}[${index}]`, problem);
  }
}

/**
 * Excluded texts, without those in which another one occurs, or a trigger.
 *
 * @throws OctavoError `invalid_request` when one occurs in a trigger
 */
function apartFrom(triggers: readonly string[], excludes: readonly string[], at: string): string[] {
  const distinct = [...new Set(excludes)];
  const index = triggers.findIndex((trigger) => distinct.some((text) => trigger.includes(text)));
  if (index >= 0) throw refused(`${at}[${index}]`, 'holds an excluded text, or the end of its tag');
  return distinct.filter(
    (text) =>
      !distinct.some((other) => other !== text && text.includes(other)) &&
      !triggers.some((trigger) => text.includes(trigger)),
  );
}

const literal = (text: string): StructurePart[] => (text === '' ? [] : [{ kind: 'literal', text }]);
