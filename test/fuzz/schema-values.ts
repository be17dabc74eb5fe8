import fc from 'fast-check';

/** What request schemas say, as far as values are made by it. */
export interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

/** Values of fields of which the schema does not say all, by their names. */
export type KnownFields = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/**
 * Fields that are optional and there at once, at most: of many, some always contradict each other.
 */
const MAX_OPTIONAL = 3;

/**
 * Values that are valid by a schema. What contradicts itself otherwise (`best_of` below `n`) is
 * among them.
 */
export function valuesOf(schema: JsonSchema, known: KnownFields): fc.Arbitrary<unknown> {
  const { anyOf } = schema;
  if (anyOf && schema.properties) {
    // An object of which one of several sets of fields must be there.
    const required = schema.required ?? [];
    return fc.oneof(
      ...anyOf.map((form) =>
        objectsOf({ ...schema, required: [...required, ...(form.required ?? [])] }, known),
      ),
    );
  }
  if (anyOf) return fc.oneof(...anyOf.map((form) => valuesOf(form, known)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case 'object':
      return objectsOf(schema, known);
    case 'array': {
      const minLength = schema.minItems ?? 0;
      const maxLength = Math.min(schema.maxItems ?? Infinity, minLength + 2);
      return fc.array(valuesOf(schema.items ?? {}, known), { minLength, maxLength });
    }
    case 'string':
      return stringsOf(schema);
    case 'integer':
      return fc.integer(rangeOf(schema));
    case 'number': {
      const { exclusiveMinimum: above } = schema;
      const range = { ...rangeOf(schema), noNaN: true };
      return above === undefined
        ? fc.double(range)
        : fc.double({ ...range, min: above, minExcluded: true });
    }
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case undefined:
      return fc.jsonValue({ maxDepth: 2 });
    default:
      throw new Error(`no values of type ${schema.type}`);
  }
}

function objectsOf(schema: JsonSchema, known: KnownFields): fc.Arbitrary<unknown> {
  const { properties = {}, required = [], additionalProperties } = schema;
  const names = Object.keys(properties);
  if (typeof additionalProperties === 'object') {
    return fc.dictionary(fc.string({ maxLength: 4 }), valuesOf(additionalProperties, known), {
      maxKeys: 2,
      noNullPrototype: true,
    });
  }
  const optional = names.filter((name) => !required.includes(name));
  const field = (name: string): fc.Arbitrary<unknown> =>
    known[name] ?? valuesOf(properties[name] ?? {}, known);
  return fc
    .subarray(optional, { maxLength: Math.min(optional.length, MAX_OPTIONAL) })
    .chain((chosen) =>
      fc.record(Object.fromEntries([...required, ...chosen].map((name) => [name, field(name)])), {
        noNullPrototype: true,
      }),
    );
}

function stringsOf({ pattern, minLength = 0, maxLength = Infinity }: JsonSchema) {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { maxLength: 20 });
  return fc.string({
    minLength,
    maxLength: Math.min(maxLength, minLength + 8),
    unit: fc.constantFrom('a', ' ', 'é', '猫', '😀', '\n', '"'),
  });
}

/** Near the least: many numbers have no other bound than what fits into a model. */
function rangeOf({ minimum, maximum }: JsonSchema): { min: number; max: number } {
  const min = minimum !== undefined && minimum > -1000 ? minimum : 0;
  return { min, max: Math.min(maximum ?? Infinity, min + 4) };
}
