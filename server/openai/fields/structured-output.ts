import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { FieldGrammar } from '../../../engine/generation/output-constraint.js';
import type { GrammarSpec } from '../../../engine/protocol/request.js';
import type { Settings } from '../../config/settings.js';
import { STRUCTURAL_TAG_FIELDS, structuralTag } from './structural-tag.js';

const JsonSchemaSchema = Type.Union([Type.Object({}), Type.Boolean()]);

/** A schema as JSON, or as the text of it. */
const SchemaOrText = Type.Union([Type.String(), Type.Object({})]);

const Choices = Type.Array(Type.String(), { minItems: 1, maxItems: 10_000 });

const optional = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

/**
 * What the output must be like: OpenAI's field, vLLM's older ones and its newer one. At most one of
 * them may be used.
 */
export const STRUCTURED_OUTPUT_FIELDS = {
  response_format: optional(
    Type.Object({
      type: Type.Union([
        Type.Literal('text'),
        Type.Literal('json_object'),
        Type.Literal('json_schema'),
        Type.Literal('structural_tag'),
      ]),
      /** Of `json_object`, as llama.cpp and others have it. */
      schema: optional(JsonSchemaSchema),
      json_schema: optional(
        Type.Object({
          name: optional(Type.String()),
          description: optional(Type.String()),
          schema: optional(JsonSchemaSchema),
          /** Always so: what cannot be enforced is refused. */
          strict: optional(Type.Boolean()),
        }),
      ),
      ...STRUCTURAL_TAG_FIELDS,
    }),
  ),
  guided_json: optional(SchemaOrText),
  guided_regex: optional(Type.String()),
  guided_choice: optional(Choices),
  guided_grammar: optional(Type.String()),
  structured_outputs: optional(
    Type.Object({
      json: optional(SchemaOrText),
      regex: optional(Type.String()),
      choice: optional(Choices),
      grammar: optional(Type.String()),
      json_object: optional(Type.Boolean()),
      /** As JSON, or as the text of it. */
      structural_tag: optional(Type.Union([Type.String(), Type.Object({})])),
      /** Compact JSON. Not a form of its own: it may stand alone, or beside any. */
      disable_any_whitespace: optional(Type.Boolean()),
    }),
  ),
};

export const StructuredOutputSchema = Type.Object(STRUCTURED_OUTPUT_FIELDS);

type StructuredOutputFields = Static<typeof StructuredOutputSchema>;

/** Options of vLLM's `structured_outputs` that would change the answer, and are not supported. */
const UNSUPPORTED_OPTIONS = ['whitespace_pattern'];

/**
 * What a request wants its output to be like; null: nothing. Whether that can be enforced is not
 * known yet: nothing of it is read here.
 *
 * @throws OctavoError `invalid_request` for two grammars at once; its `param` is the field
 */
export function grammarOf(
  body: StructuredOutputFields,
  settings: JsonSettings,
): FieldGrammar | null {
  const requested = requestedGrammars(body, isCompact(body, settings));
  if (requested.length === 0) return null;
  const [[field, spec], another] = requested;
  if (another) {
    throw new OctavoError('invalid_request', `${field} and ${another[0]} cannot be used together`, {
      param: another[0],
    });
  }
  return { spec, field };
}

/** What the server was started with. */
export type JsonSettings = Pick<Settings, 'disableAnyWhitespace'>;

/** Whether the request's JSON has no white space: as it says, or as the server was started. */
export const isCompact = (body: StructuredOutputFields, settings: JsonSettings): boolean =>
  body.structured_outputs?.disable_any_whitespace ?? settings.disableAnyWhitespace;

function requestedGrammars(
  body: StructuredOutputFields,
  compact: boolean,
): [field: string, spec: GrammarSpec][] {
  // Absent where it says nothing: specs are keys.
  const form = compact ? { compact } : {};
  const jsonSchema = (schema: string | object | boolean): GrammarSpec => ({
    kind: 'json-schema',
    source: typeof schema === 'string' ? schema : JSON.stringify(schema),
    ...form,
  });
  const requested: [string, GrammarSpec][] = [];
  const add = (field: string, spec: GrammarSpec): void => void requested.push([field, spec]);
  const format = body.response_format;
  const own = format?.schema ?? null;
  if (own !== null && format?.type !== 'json_object') {
    const param = 'response_format.schema';
    const message = `${param} is allowed only with type json_object; with json_schema it is response_format.json_schema.schema`;
    throw new OctavoError('invalid_request', message, { param });
  }
  if (format?.type === 'json_object') {
    if (own === null) add('response_format', { kind: 'json-object', ...form });
    else add('response_format.schema', jsonSchema(own));
  }
  if (format?.type === 'json_schema') {
    const schema = format.json_schema?.schema;
    const param = 'response_format.json_schema.schema';
    if (schema === undefined || schema === null) {
      throw new OctavoError('invalid_request', `missing required field ${param}`, { param });
    }
    add(param, jsonSchema(schema));
  }
  if (format?.type === 'structural_tag') {
    add('response_format', structuralTag(format, 'response_format', form));
  }
  const { structured_outputs: newer } = body;
  const options: Record<string, unknown> = { ...newer };
  const unsupported = UNSUPPORTED_OPTIONS.find((option) => (options[option] ?? null) !== null);
  if (unsupported !== undefined) {
    const param = `structured_outputs.${unsupported}`;
    throw new OctavoError('invalid_request', `${param} is not supported`, { param });
  }
  const all = [
    ['guided_json', body.guided_json, jsonSchema],
    ['guided_regex', body.guided_regex, (source: string) => ({ kind: 'regex', source })],
    ['guided_choice', body.guided_choice, (choices: string[]) => ({ kind: 'choice', choices })],
    ['guided_grammar', body.guided_grammar, (source: string) => ({ kind: 'ebnf', source })],
    ['structured_outputs.json', newer?.json, jsonSchema],
    ['structured_outputs.regex', newer?.regex, (source: string) => ({ kind: 'regex', source })],
    [
      'structured_outputs.choice',
      newer?.choice,
      (choices: string[]) => ({ kind: 'choice', choices }),
    ],
    ['structured_outputs.grammar', newer?.grammar, (source: string) => ({ kind: 'ebnf', source })],
  ] as const;
  for (const [field, value, specOf] of all) {
    if (value === undefined || value === null) continue;
    add(field, (specOf as (value: unknown) => GrammarSpec)(value));
  }
  const tag = newer?.structural_tag ?? null;
  if (tag !== null) {
    const field = 'structured_outputs.structural_tag';
    add(field, structuralTag(tag, field, form));
  }
  if (newer?.json_object === true)
    add('structured_outputs.json_object', { kind: 'json-object', ...form });
  return requested;
}
