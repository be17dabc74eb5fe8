import { OctavoError } from '../../errors.js';

/**
 * The support of each keyword of JSON Schema (drafts 7 and 2020-12). `enforced`: the output always
 * follows it. `limited`: enforced for the values that the note names; others are refused.
 * `annotation`: does not affect validity. Keywords that are missing here are refused, too.
 * docs/structured-output.md has the same table; a test compares the two.
 */
export const KEYWORDS: Readonly<Record<string, readonly [role: Role, note: string]>> = {
  type: ['enforced', 'a name or a list of names'],
  enum: ['enforced', 'values that break another keyword are left out'],
  const: ['enforced', 'as `enum` with one value'],
  properties: ['enforced', 'in the order in which they are declared'],
  required: ['enforced', 'a name without a property may have any value'],
  additionalProperties: [
    'enforced',
    'absent: no other property is written, unless the schema names none at all',
  ],
  minProperties: [
    'limited',
    'counted exactly; with other properties allowed, at most as many as `required` has',
  ],
  maxProperties: ['enforced', ''],
  patternProperties: ['limited', 'one pattern, and no `properties` beside it'],
  propertyNames: [
    'limited',
    '`pattern`, `minLength`, `maxLength`, `format`, `enum`; no `properties` beside it',
  ],
  items: ['enforced', 'a schema; a list of schemas is `prefixItems`'],
  prefixItems: ['enforced', 'without `items` beside it, nothing follows'],
  additionalItems: ['enforced', 'as `items` behind a list of schemas'],
  minItems: ['enforced', ''],
  maxItems: ['enforced', ''],
  uniqueItems: [
    'limited',
    'items that are one of a few values: `enum`, `const`, booleans, `null`, integers between two bounds; all sets of 10, or up to 3 of 18',
  ],
  minLength: [
    'limited',
    'each character takes time to compile; beside `pattern` or `format`: where they imply it',
  ],
  maxLength: [
    'limited',
    'each character takes time to compile; beside `pattern` or `format`: where they imply it',
  ],
  pattern: ['limited', 'regular; one for a string; no look-around, back reference, `\\b`, `\\p`'],
  format: [
    'limited',
    '`date`, `time`, `date-time`, `duration`, `email`, `hostname`, `ipv4`, `ipv6`, `uuid`, `uri`; not beside `pattern`',
  ],
  minimum: ['enforced', 'digit by digit, for integers and decimals'],
  maximum: ['enforced', 'digit by digit, for integers and decimals'],
  exclusiveMinimum: ['enforced', 'a number'],
  exclusiveMaximum: ['enforced', 'a number'],
  multipleOf: ['limited', 'by the decimal digits; above 60, those with few remainders'],
  allOf: ['enforced', 'all at once'],
  anyOf: ['enforced', ''],
  oneOf: [
    'limited',
    'alternatives that cannot both be valid: other types, other constants, other values of one required property',
  ],
  $ref: ['limited', 'inside of the schema: `#` and `#/...`; recursion works'],
  $defs: ['enforced', 'for `$ref`'],
  definitions: ['enforced', 'for `$ref`'],
  title: ['annotation', ''],
  description: ['annotation', ''],
  default: ['annotation', ''],
  examples: ['annotation', ''],
  example: ['annotation', ''],
  deprecated: ['annotation', ''],
  readOnly: ['annotation', ''],
  writeOnly: ['annotation', ''],
  $schema: ['annotation', ''],
  $id: ['annotation', 'at the root'],
  $comment: ['annotation', ''],
  $anchor: ['annotation', ''],
  $vocabulary: ['annotation', ''],
  contentEncoding: ['annotation', ''],
  contentMediaType: ['annotation', ''],
  discriminator: ['annotation', 'of OpenAPI'],
  'x-*': ['annotation', ''],
  not: ['refused', ''],
  if: ['refused', ''],
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword
  then: ['refused', ''],
  else: ['refused', ''],
  contains: ['refused', ''],
  minContains: ['refused', ''],
  maxContains: ['refused', ''],
  dependencies: ['refused', ''],
  dependentRequired: ['refused', ''],
  dependentSchemas: ['refused', ''],
  unevaluatedItems: ['refused', ''],
  unevaluatedProperties: ['refused', ''],
  contentSchema: ['refused', ''],
  $dynamicRef: ['refused', ''],
  $dynamicAnchor: ['refused', ''],
  $recursiveRef: ['refused', ''],
  $recursiveAnchor: ['refused', ''],
};

type Role = 'enforced' | 'limited' | 'annotation' | 'refused';

/**
 * @throws OctavoError `invalid_request`: names the first keyword that cannot be enforced, and its
 *   place
 */
export function checkKeywords(schema: object | boolean, pointer: string): void {
  if (typeof schema === 'boolean') return;
  for (const keyword of Object.keys(schema)) {
    const known = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
    if (known ? known[0] === 'refused' : !keyword.startsWith('x-')) {
      throw schemaError(pointer, `the keyword ${JSON.stringify(keyword)} is not supported`);
    }
  }
}

/** @param pointer the place, as a JSON pointer; the empty one is the schema itself */
export function schemaError(pointer: string, problem: string): OctavoError {
  const where = pointer === '' ? '' : ` at ${pointer}`;
  return new OctavoError('invalid_request', `the JSON schema${where}: ${problem}`, {
    param: 'schema',
  });
}
