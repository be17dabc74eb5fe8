import type { StructurePart } from '../protocol/request.js';
import { isTextOnly, propertiesOf } from './argument-writer.js';

/** How a form writes arguments that are no JSON object. */
export interface PropertyForm {
  /** Between two arguments. */
  readonly separator: string;
  /** Before and behind a value. */
  around(name: string): readonly [before: string, after: string];
  /** A text that is no enumeration; null: written as a JSON string. */
  readonly text: StructurePart[] | null;
  /** Words for true and false. */
  readonly booleans: readonly [string, string];
}

/**
 * The grammar of arguments by their schema: required ones in its order, each optional one may be
 * left out.
 *
 * @param lark grammar of the only one; undefined: the schema says all
 */
export function propertyParts(
  parameters: object,
  lark: string | undefined,
  form: PropertyForm,
): StructurePart[] {
  const required: unknown = 'required' in parameters ? parameters.required : [];
  const isRequired = (name: string): boolean => Array.isArray(required) && required.includes(name);
  const properties = propertiesOf(parameters);
  const ordered = [
    ...properties.filter(([name]) => isRequired(name)),
    ...properties.filter(([name]) => !isRequired(name)),
  ].map(([name, schema]) => ({
    isRequired: isRequired(name),
    parts: oneProperty(name, withDefinitions(schema, parameters), lark, form),
  }));
  return from(ordered, 0, form.separator, true);
}

/** Properties from `at` on; the first that is written has no separator before it. */
function from(
  properties: readonly { readonly isRequired: boolean; readonly parts: StructurePart[] }[],
  at: number,
  separator: string,
  isFirst: boolean,
): StructurePart[] {
  if (at === properties.length) return [];
  const { isRequired, parts } = properties[at];
  const before = isFirst ? [] : literal(separator);
  const written = [...before, ...parts, ...from(properties, at + 1, separator, false)];
  if (isRequired) return written;
  const skipped = from(properties, at + 1, separator, isFirst);
  if (!isFirst) {
    const own: StructurePart = { kind: 'alternatives', of: [[], [...before, ...parts]] };
    return [own, ...skipped];
  }
  return [{ kind: 'alternatives', of: [written, skipped] }];
}

function oneProperty(
  name: string,
  schema: object,
  lark: string | undefined,
  form: PropertyForm,
): StructurePart[] {
  const [before, after] = form.around(name);
  const value = lark === undefined ? valueParts(schema, form) : larkParts(lark, form.text === null);
  return [...literal(before), ...value, ...literal(after)];
}

/** A text of a Lark grammar, as it is or as a JSON string. */
export function larkParts(source: string, inJson: boolean): StructurePart[] {
  const text: StructurePart = { kind: 'lark', source, inJson };
  return inJson ? [...literal('"'), text, ...literal('"')] : [text];
}

function valueParts(schema: object, { text, booleans }: PropertyForm): StructurePart[] {
  if ('type' in schema && schema.type === 'boolean') {
    return [{ kind: 'alternatives', of: booleans.map(literal) }];
  }
  if (text !== null && isTextOnly(schema)) {
    const values: unknown = 'enum' in schema ? schema.enum : null;
    if (!Array.isArray(values)) return text;
    return [{ kind: 'alternatives', of: values.map((value) => literal(String(value))) }];
  }
  return [{ kind: 'json-schema', source: JSON.stringify(schema) }];
}

/** References lead to the definitions of the whole schema. */
function withDefinitions(schema: object, root: object): object {
  return {
    ...('$defs' in root && { $defs: root.$defs }),
    ...('definitions' in root && { definitions: root.definitions }),
    ...schema,
  };
}

const literal = (text: string): StructurePart[] => (text === '' ? [] : [{ kind: 'literal', text }]);
