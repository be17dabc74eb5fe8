import { Type } from 'typebox';
import { clip } from '../../../engine/clip.js';
import { OctavoError } from '../../../engine/errors.js';
import type { GrammarSpec, StructurePart } from '../../../engine/protocol/request.js';
import { listOf, objectOf, refused } from './structural-fields.js';
import { FormatReader, type JsonStyle } from './structural-format.js';

const Any = Type.Optional(Type.Unknown());

/** Of `response_format` with the type `structural_tag`. */
export const STRUCTURAL_TAG_FIELDS = {
  /** XGrammar's form: one format, which may hold others. */
  format: Any,
  /** The older form: `{ begin, schema, end }`, and the texts at which they are looked for. */
  structures: Any,
  triggers: Any,
};

/**
 * XGrammar's structural tags, in vLLM's two forms of them, as a grammar.
 *
 * @param given the tag, or the text of it in JSON
 * @param param the field that it came in
 * @throws OctavoError `invalid_request`: says which part of it is wrong, or not supported
 */
export function structuralTag(given: unknown, param: string, style: JsonStyle): GrammarSpec {
  const tag = typeof given === 'string' ? parsed(given, param) : given;
  const reader = new FormatReader(style);
  const fields = objectOf(tag, param);
  if (fields['type'] !== 'structural_tag') {
    throw refused(`${param}.type`, 'must be structural_tag');
  }
  const hasFormat = (fields['format'] ?? null) !== null;
  if (hasFormat && (fields['structures'] ?? null) !== null) {
    throw refused(`${param}.structures`, 'cannot be used together with format');
  }
  const parts = hasFormat
    ? reader.format(fields['format'], `${param}.format`, [])
    : olderForm(fields, param, reader);
  return { kind: 'structure', parts };
}

function olderForm(
  fields: Readonly<Record<string, unknown>>,
  param: string,
  reader: FormatReader,
): StructurePart[] {
  if ((fields['structures'] ?? null) === null) {
    throw refused(
      `${param}.format`,
      'is missing: a structural tag has a format, or structures and triggers',
    );
  }
  const tags = listOf(fields['structures'], `${param}.structures`).map((structure, index) => {
    const at = `${param}.structures[${index}]`;
    const { begin, schema, end } = objectOf(structure, at);
    const content = { type: 'json_schema', json_schema: schema ?? true };
    return { type: 'tag', begin, content, end };
  });
  const { triggers } = fields;
  const names = { tags: `${param}.structures`, triggers: `${param}.triggers` };
  return reader.triggered({ tags, triggers }, names, []);
}

function parsed(text: string, param: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const problem = cause instanceof Error ? clip(cause.message) : 'no JSON';
    throw new OctavoError('invalid_request', `${param} is not valid JSON: ${problem}`, {
      param,
      cause,
    });
  }
}
