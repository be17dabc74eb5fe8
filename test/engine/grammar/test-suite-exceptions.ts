/**
 * Instances of JSON Schema's test-suite that are valid and never written, by the reason:
 * docs/structured-output.md says each of them. `file | schema | instance`, as the suite calls them.
 */
const EXCEPTIONS = {
  'a schema without type means what its keywords speak of': [
    'items.json | a schema given for items | JavaScript pseudo-array is valid',
    'items.json | an array of schemas for items | JavaScript pseudo-array is valid',
    'prefixItems.json | a schema given for prefixItems | JavaScript pseudo-array is valid',
    'optional/no-schema.json | validation without $schema | a non-string is valid',
    'ref.json | root pointer ref | match',
    'ref.json | root pointer ref | recursive match',
  ],
  'members are written in the order of their declaration': [
    'allOf.json | allOf | allOf',
    'allOf.json | allOf with base schema | valid',
    'const.json | const with object | same object with different property order is valid',
  ],
  'members that nobody named are not written': [
    'additionalProperties.json | additionalProperties are allowed by default | additional properties are allowed',
    'anyOf.json | anyOf complex types | both anyOf valid (complex)',
    "properties.json | object properties validation | doesn't invalidate other properties",
  ],
  'nothing follows prefixItems without items': [
    'additionalItems.json | additionalItems are allowed by default | only the first item is validated',
    'additionalItems.json | additionalItems does not look in applicators, valid case | items defined in allOf are not examined',
    'items.json | an array of schemas for items | array with additional items',
    'prefixItems.json | a schema given for prefixItems | array with additional items',
    'prefixItems.json | additional items are allowed by default | only the first item is validated',
    'uniqueItems.json | uniqueItems=false with an array of items | non-unique array extended from [false, true] is valid',
    'uniqueItems.json | uniqueItems=false with an array of items | non-unique array extended from [true, false] is valid',
    'uniqueItems.json | uniqueItems=false with an array of items | unique array extended from [false, true] is valid',
    'uniqueItems.json | uniqueItems=false with an array of items | unique array extended from [true, false] is valid',
    'uniqueItems.json | uniqueItems with an array of items | unique array extended from [false, true] is valid',
    'uniqueItems.json | uniqueItems with an array of items | unique array extended from [true, false] is valid',
  ],
  'keywords beside $ref hold, as since draft 2019-09': [
    'ref.json | ref overrides any sibling keywords | ref valid, maxItems ignored',
  ],
  'a meta-schema turns no keyword off': [
    'vocabulary.json | schema that uses custom metaschema with with no validation vocabulary | no validation: invalid number, but it still validates',
  ],
  'integers have up to 18 digits, multiples up to 15': [
    'optional/float-overflow.json | all integers are multiples of 0.5, if overflow is handled | valid if optional overflow handling is implemented',
    'optional/bignum.json | integer | a bignum is an integer',
    'optional/bignum.json | integer | a negative bignum is an integer',
  ],
  'a format is a part of its standard': [
    'optional/format/date-time.json | validation of date-time strings | a valid date-time with a leap second, UTC',
    'optional/format/date-time.json | validation of date-time strings | a valid date-time with a leap second, with minus offset',
    'optional/format/date-time.json | validation of date-time strings | case-insensitive T and Z',
    'optional/format/date.json | validation of date strings | 2020 is a leap year',
    'optional/format/date.json | validation of date strings | a valid date string with 29 days in February (leap)',
    'optional/format/email.json | validation of e-mail addresses | a quoted string with a @ in the local part is valid',
    'optional/format/email.json | validation of e-mail addresses | a quoted string with a double dot in the local part is valid',
    'optional/format/email.json | validation of e-mail addresses | a quoted string with a space in the local part is valid',
    'optional/format/email.json | validation of e-mail addresses | an IPv4-address-literal after the @ is valid',
    'optional/format/email.json | validation of e-mail addresses | an IPv6-address-literal after the @ is valid',
    'optional/format/hostname.json | validation of host names | maximum label length',
    'optional/format/ipv6.json | validation of IPv6 addresses | a long valid ipv6',
    'optional/format/ipv6.json | validation of IPv6 addresses | mixed format with double colons between the sections',
    'optional/format/ipv6.json | validation of IPv6 addresses | mixed format with leading double colons (ipv4-mapped ipv6 address)',
    'optional/format/ipv6.json | validation of IPv6 addresses | mixed format with the ipv4 section as decimal octets',
    'optional/format/time.json | validation of time strings | a valid time string with case-insensitive Z',
    'optional/format/time.json | validation of time strings | a valid time string with leap second, Zulu',
    'optional/format/time.json | validation of time strings | valid leap second, large negative time-offset',
    'optional/format/time.json | validation of time strings | valid leap second, large positive time-offset',
    'optional/format/time.json | validation of time strings | valid leap second, negative time-offset',
    'optional/format/time.json | validation of time strings | valid leap second, positive time-offset',
    'optional/format/time.json | validation of time strings | valid leap second, zero time-offset',
    'optional/format/uri.json | validation of URIs | a valid URL ',
    'optional/format/uri.json | validation of URIs | a valid URL with URL-encoded stuff',
    'optional/format/uri.json | validation of URIs | a valid URL with many special characters',
    'optional/format/uri.json | validation of URIs | a valid URN',
    'optional/format/uri.json | validation of URIs | a valid mailto URI',
    'optional/format/uri.json | validation of URIs | a valid newsgroup URI',
    'optional/format/uri.json | validation of URIs | a valid puny-coded URL ',
    'optional/format/uri.json | validation of URIs | a valid tel URI',
  ],
} as const;

export type Reason = keyof typeof EXCEPTIONS | 'a format is enforced';

const REASONS = new Map(
  Object.entries(EXCEPTIONS).flatMap(([reason, instances]) =>
    instances.map((instance): [string, Reason] => [instance, reason as Reason]),
  ),
);

export const EXCEPTION_KEYS: ReadonlySet<string> = new Set(REASONS.keys());

/** Schemas without a keyword that says something of any value. */
const SAYS_NOTHING: ReadonlySet<string> = new Set([
  'additionalItems as false without items',
  'validation of string-encoded content based on media type',
  'validation of binary string-encoding',
  'validation of binary-encoded media type documents',
]);

/** @returns why this valid instance is never written; null: it can be */
export function notWritten(key: string): Reason | null {
  const [, schema, instance] = key.split(' | ');
  // Each keyword's file has values of other types: the keyword ignores them, but its schema has no
  // `type`.
  if (!SAYS_NOTHING.has(schema) && /^ignores |^all string formats ignore /.test(instance)) {
    return 'a schema without type means what its keywords speak of';
  }
  if (instance.endsWith(' is only an annotation by default')) return 'a format is enforced';
  return REASONS.get(key) ?? null;
}
