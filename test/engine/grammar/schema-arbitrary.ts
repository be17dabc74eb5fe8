// oxlint-disable oxc/no-map-spread -- arbitraries are mapped, not arrays
import fc from 'fast-check';

const bounds = (min: string, max: string, upTo: number): fc.Arbitrary<object> =>
  fc.tuple(fc.option(fc.nat(upTo)), fc.option(fc.nat(upTo))).map(([low, more]) => ({
    ...(low === null ? {} : { [min]: low }),
    ...(more === null ? {} : { [max]: (low ?? 0) + more }),
  }));

const numeric = fc
  .tuple(
    fc.constantFrom('integer', 'number'),
    fc.constantFrom('minimum', 'exclusiveMinimum', 'none'),
    fc.constantFrom('maximum', 'exclusiveMaximum', 'none'),
    fc.integer({ min: -2000, max: 2000 }),
    fc.integer({ min: 200, max: 30_000 }),
    fc.constantFrom(1, 10, 100),
  )
  .map(([type, low, high, from, span, scale]) => ({
    type,
    ...(low === 'none' ? {} : { [low]: from / scale }),
    ...(high === 'none' ? {} : { [high]: (from + span) / scale }),
  }));

const multiples = fc
  .tuple(numeric, fc.constantFrom(2, 3, 7, 10, 60, 0.5, 0.25, 0.01, 1.5))
  // Wide bounds: there is always a multiple between them.
  .map(([schema, multipleOf]) => ({ ...schema, multipleOf }));

const sets = fc
  .tuple(
    fc.constantFrom<object>(
      { type: 'boolean' },
      { enum: ['a', 1, null, [true], { b: 'c' }] },
      { type: ['null', 'boolean'] },
      { type: 'integer', minimum: 8, maximum: 11 },
    ),
    fc.constantFrom<object>({}, { maxItems: 2 }, { minItems: 1 }, { minItems: 2, maxItems: 3 }),
  )
  .map(([items, limits]) => ({ type: 'array', uniqueItems: true, items, ...limits }));

const strings = fc.oneof(
  bounds('minLength', 'maxLength', 6).map((limits) => ({ type: 'string', ...limits })),
  fc
    .constantFrom('^[a-z]{2,5}$', '^(?:x|yy)+$', '\\d', '^[^"]*\\\\$', '^\\p', 'é+.')
    .map((pattern) => (pattern === '^\\p' ? { type: 'string' } : { type: 'string', pattern })),
  fc
    .constantFrom(
      'date',
      'time',
      'date-time',
      'duration',
      'email',
      'hostname',
      'ipv4',
      'ipv6',
      'uuid',
      'uri',
    )
    .map((format) => ({ type: 'string', format })),
);

const leaves: fc.Arbitrary<object> = fc.oneof(
  numeric,
  multiples,
  sets,
  strings,
  fc.constantFrom(
    { type: 'boolean' },
    { type: 'null' },
    { enum: ['a', 1, null, [true], { b: 'c' }] },
    { const: 'k"' },
  ),
);

/** Schemas of the keywords that are enforced, nested. */
export const schemaArbitrary: fc.Arbitrary<object> = fc.letrec<{ schema: object }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaves,
    fc
      .tuple(tie('schema'), bounds('minItems', 'maxItems', 3))
      .map(([items, limits]) => ({ type: 'array', items, ...limits })),
    fc
      .array(tie('schema'), { minLength: 1, maxLength: 3 })
      .map((prefixItems) => ({ type: 'array', prefixItems, items: false })),
    fc
      .tuple(
        fc.dictionary(fc.constantFrom('a', 'ab', 'b"', 'é', 'k'), tie('schema'), {
          minKeys: 1,
          maxKeys: 4,
        }),
        fc.array(fc.constantFrom('a', 'ab', 'k')),
        fc.option(fc.oneof(fc.boolean(), tie('schema'))),
      )
      .map(([properties, required, additionalProperties]) => ({
        type: 'object',
        properties,
        required: [...new Set(required)],
        ...(additionalProperties === null ? {} : { additionalProperties }),
      }))
      // A required name that is not declared is then forbidden.
      .filter(
        (s) =>
          s.additionalProperties !== false ||
          s.required.every((name) => Object.hasOwn(s.properties, name)),
      ),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
})).schema;
