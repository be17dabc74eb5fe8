import { Type } from 'typebox';

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
      /** Compact JSON. Not a form of its own: it may stand alone, or beside any. */
      disable_any_whitespace: optional(Type.Boolean()),
    }),
  ),
};

export const StructuredOutputSchema = Type.Object(STRUCTURED_OUTPUT_FIELDS);
