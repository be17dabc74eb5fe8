/**
 * What JSON Schema's own test-suite asks of each keyword, as far as it is enforced: a schema, and
 * instances in the order of its properties.
 */
export const SCHEMA_CASES: readonly { schema: object | boolean; instances: readonly unknown[] }[] =
  [
    {
      schema: { type: 'array', items: [{ type: 'integer' }], additionalItems: { type: 'string' } },
      instances: [[], [1], [1, 'a'], [1, 2], ['a']],
    },
    { schema: { type: 'integer' }, instances: [0, 1, -7, 1.5, '1', null, true, [], {}] },
    { schema: { type: 'number' }, instances: [0, -1.5, 0.25, 12, '1', false] },
    { schema: { type: 'string' }, instances: ['', 'a', 'é😀', 'a"b\\c\nd\u0001', 1] },
    { schema: { type: ['integer', 'null'] }, instances: [1, null, 'a', 1.5] },
    { schema: { type: 'boolean' }, instances: [true, false, 0, 'true'] },
    { schema: { type: 'null' }, instances: [null, 0, ''] },
    {
      schema: { enum: [1, 'two', [3], { four: 4 }, null] },
      instances: [1, 'two', [3], { four: 4 }, null, 2, [4], {}],
    },
    { schema: { type: 'string', enum: ['a', 1, 'b'] }, instances: ['a', 'b', 1] },
    { schema: { const: { a: false } }, instances: [{ a: false }, { a: 0 }, {}, [false]] },
    {
      schema: { type: 'integer', minimum: -2, maximum: 115 },
      instances: [-3, -2, -1, 0, 9, 10, 99, 100, 115, 116, 1000],
    },
    { schema: { type: 'integer', exclusiveMinimum: 3, exclusiveMaximum: 5 }, instances: [3, 4, 5] },
    { schema: { type: 'integer', minimum: 1.2 }, instances: [1, 2, 3000, -2] },
    { schema: { type: 'number', minimum: 1.1 }, instances: [1, 1.1, 1.05, 1.11, 2, 0.6, 250.5] },
    { schema: { type: 'number', maximum: 3 }, instances: [2.6, 3, 3.5, -100, 3.0001] },
    {
      schema: { type: 'number', exclusiveMinimum: -0.5, exclusiveMaximum: 0.75 },
      instances: [-0.5, -0.4999, 0, 0.1, 0.74, 0.75, 0.8, -1],
    },
    { schema: { type: 'integer', multipleOf: 1 }, instances: [1, 2] },
    { schema: { multipleOf: 2 }, instances: [0, 4, -6, 7, 2.5, 123456789012346] },
    {
      schema: { type: 'integer', multipleOf: 7, minimum: -20, exclusiveMaximum: 28 },
      instances: [-21, -14, -13, 0, 7, 14, 15, 27, 28],
    },
    {
      schema: { type: 'number', multipleOf: 0.25 },
      instances: [0, 0.25, 1.5, -3.75, 0.1, 0.125, 40],
    },
    {
      schema: { type: 'number', multipleOf: 0.01, minimum: 0, maximum: 9.999 },
      instances: [0, 0.01, 1.5, 9.99, 9.999, 10, -1, 0.005],
    },
    { schema: { type: 'integer', multipleOf: 2.5 }, instances: [0, 5, 10, -15, 2, 7] },
    { schema: { allOf: [{ multipleOf: 6 }, { multipleOf: 4 }] }, instances: [12, 24, 6, 4, 18] },
    { schema: { enum: [1, 2, 3, 4.5], multipleOf: 1.5 }, instances: [1, 2, 3, 4.5] },
    { schema: { multipleOf: 1e6 }, instances: [1e6, 25e6, 1e5, 999999, 0] },
    {
      schema: { type: 'string', minLength: 2, maxLength: 4 },
      instances: ['a', 'ab', 'abcd', 'abcde', '😀😀', '😀', '""\\\\'],
    },
    { schema: { type: 'string', pattern: '^a*$' }, instances: ['', 'aaa', 'abc'] },
    { schema: { type: 'string', pattern: 'a+' }, instances: ['xxaayy', 'xxyy', '\n"a'] },
    {
      schema: { type: 'string', pattern: '^(foo|ba[rz])\\d{2,3}$' },
      instances: ['foo12', 'baz123', 'bar1', 'foo1234'],
    },
    {
      schema: { type: 'string', pattern: '^[^"\\s]+$' },
      instances: ['ab', 'a b', 'a"b', 'a\u3000b', 'é', '\u0001'],
    },
    {
      schema: { type: 'string', pattern: '^[а-я]{2}.$' },
      instances: ['даx', 'да\n', 'da!', 'дa!', 'да\u2028', 'да😀'],
    },
    {
      schema: { type: 'string', pattern: '^[a-c]+$', maxLength: 2 },
      instances: ['a', 'ab', 'abc', ''],
    },
    {
      schema: { type: 'string', format: 'date' },
      instances: ['2024-01-31', '2024-02-30', '2024-13-01', '24-01-01'],
    },
    {
      schema: { type: 'string', format: 'date-time' },
      instances: [
        '2024-01-31T23:59:59Z',
        '2024-01-31T24:00:00Z',
        '2024-01-31T10:00:00',
        '2024-04-30T10:00:00.123+02:00',
      ],
    },
    { schema: { type: 'string', format: 'time' }, instances: ['10:20:30Z', '10:20', '25:00:00Z'] },
    {
      schema: { type: 'string', format: 'uuid' },
      instances: [
        '2eb8aa08-aa98-11ea-b4aa-73b441d16380',
        '2eb8aa08-aa98-11ea-b4aa-73b441d1638',
        'x',
      ],
    },
    { schema: { type: 'string', format: 'ipv4' }, instances: ['127.0.0.1', '256.1.1.1', '1.1.1'] },
    {
      schema: { type: 'string', format: 'ipv6' },
      instances: ['::1', '1:2:3:4:5:6:7:8', '1::8', '1:2:3', ':::1'],
    },
    {
      schema: { type: 'string', format: 'email' },
      instances: ['joe.bloggs@example.com', 'joe', '@x.com', 'a@b'],
    },
    { schema: { type: 'string', format: 'hostname' }, instances: ['www.example.com', '-a', 'a_b'] },
    {
      schema: { type: 'string', format: 'duration' },
      instances: ['P4DT12H30M5S', 'P', 'PT', 'P1W', 'PT36H'],
    },
    {
      schema: { type: 'string', format: 'uri' },
      instances: ['http://foo.bar/?baz=qux#quux', 'no', '//foo.bar', 'https://a.b:80/c'],
    },
    { schema: { type: 'array' }, instances: [[], [1, 'a', [null]], {}] },
    {
      schema: { type: 'array', items: { type: 'integer' } },
      instances: [[], [1], [1, 2], ['a'], [1, 'x']],
    },
    {
      schema: { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 3 },
      instances: [[], [true], [true, false], [true, true, true], [true, true, true, true]],
    },
    {
      schema: {
        type: 'array',
        prefixItems: [{ type: 'integer' }, { type: 'string' }],
        items: false,
      },
      instances: [[], [1], [1, 'a'], [1, 'a', 2], ['a']],
    },
    {
      schema: {
        type: 'array',
        prefixItems: [{ type: 'integer' }],
        items: { type: 'string' },
        minItems: 2,
      },
      instances: [[1], [1, 'a'], [1, 'a', 'b'], [1, 2]],
    },
    { schema: { type: 'array', items: { type: 'null' }, maxItems: 0 }, instances: [[], [null]] },
    {
      schema: { type: 'array', uniqueItems: true, maxItems: 1, items: { type: 'integer' } },
      instances: [[], [1], [1, 1]],
    },
    {
      schema: { type: 'array', uniqueItems: true, items: { enum: ['a', 1, { b: [2] }] } },
      instances: [[], ['a'], ['a', 1], [1, { b: [2] }, 'a'], ['a', 'a'], [{ b: [2] }, { b: [2] }]],
    },
    {
      schema: {
        uniqueItems: true,
        minItems: 2,
        maxItems: 3,
        items: { anyOf: [{ type: 'boolean' }, { type: 'integer', minimum: 1, maximum: 3 }] },
      },
      instances: [[], [1], [1, 2], [3, true, 2], [true, false, 1, 2], [2, 3, 2], [4, 1]],
    },
    {
      schema: {
        uniqueItems: true,
        prefixItems: [{ enum: [1, 2] }, { const: 1 }],
        // Not by `type`: Ajv 8 then compares only the items of that type.
        items: { const: null },
        minItems: 2,
      },
      instances: [[2, 1], [1, 1], [2, 1, null], [2, 1, null, null], [1], [2]],
    },
    {
      schema: {
        uniqueItems: true,
        maxItems: 2,
        items: { type: 'integer', minimum: 1, maximum: 40 },
      },
      instances: [[7, 7], [7, 40], [1], [1, 2, 3], [41]],
    },
    { schema: { type: 'object' }, instances: [{}, { a: 1, b: [{ c: null }] }, []] },
    {
      schema: { type: 'object', properties: { foo: { type: 'integer' }, bar: { type: 'string' } } },
      instances: [{}, { foo: 1 }, { bar: 'x' }, { foo: 1, bar: 'x' }, { foo: 'x' }, { bar: 1 }],
    },
    {
      schema: { type: 'object', properties: { foo: {}, bar: {} }, required: ['bar'] },
      instances: [{ bar: 2 }, { foo: 1 }, { foo: [1], bar: null }, {}],
    },
    { schema: { type: 'object', required: ['baz'] }, instances: [{ baz: 1 }, {}] },
    {
      schema: {
        type: 'object',
        properties: { foo: { type: 'integer' } },
        additionalProperties: false,
      },
      instances: [{}, { foo: 1 }, { foo: 1, bar: 2 }, { bar: 1 }],
    },
    {
      schema: {
        type: 'object',
        properties: { foo: { type: 'integer' }, fo: true },
        additionalProperties: { type: 'boolean' },
      },
      instances: [
        { foo: 1 },
        { foo: 1, x: true },
        { f: true },
        { fooo: false },
        { x: 1 },
        { fo: 's', a: true, b: false },
      ],
    },
    {
      schema: {
        type: 'object',
        properties: { a: {}, b: {}, c: {} },
        minProperties: 1,
        maxProperties: 2,
      },
      instances: [{}, { a: 1 }, { c: 1 }, { a: 1, c: 1 }, { a: 1, b: 1, c: 1 }],
    },
    {
      schema: { type: 'object', additionalProperties: { type: 'integer' }, maxProperties: 2 },
      instances: [{}, { x: 1 }, { x: 1, y: 2 }, { x: 1, y: 2, z: 3 }, { x: 'a' }],
    },
    {
      schema: {
        type: 'object',
        patternProperties: { '^f.*o$': { type: 'integer' } },
        additionalProperties: false,
      },
      instances: [{}, { foo: 1 }, { foooo: 2 }, { foo: 'x' }, { bar: 1 }],
    },
    {
      schema: {
        type: 'object',
        propertyNames: { pattern: '^[a-z]$' },
        additionalProperties: { type: 'integer' },
      },
      instances: [{}, { a: 1 }, { ab: 1 }, { a: 1, b: 2 }],
    },
    {
      schema: { type: 'object', properties: { a: false, b: true } },
      instances: [{}, { b: 1 }, { a: 1 }],
    },
    {
      schema: { allOf: [{ type: 'integer', minimum: 2 }, { maximum: 5 }] },
      instances: [1, 2, 5, 6],
    },
    {
      schema: {
        type: 'object',
        allOf: [
          { properties: { a: { type: 'integer' } }, required: ['a'] },
          { properties: { a: { minimum: 3 }, b: { type: 'null' } } },
        ],
      },
      instances: [{ a: 3 }, { a: 2 }, { a: 4, b: null }, { b: null }],
    },
    {
      schema: { anyOf: [{ type: 'integer' }, { type: 'string', minLength: 2 }] },
      instances: [1, 'ab', 'a', 1.5],
    },
    {
      schema: {
        type: 'object',
        properties: { v: { type: 'integer' } },
        anyOf: [{ required: ['v'] }, { properties: { w: { type: 'string' } }, required: ['w'] }],
      },
      instances: [{ v: 1 }, { w: 'x' }, { v: 1, w: 'x' }, {}, { v: 'x' }],
    },
    { schema: { oneOf: [{ type: 'integer' }, { type: 'string' }] }, instances: [1, 'a', null] },
    {
      schema: {
        oneOf: [
          {
            type: 'object',
            properties: { kind: { const: 'a' }, n: { type: 'integer' } },
            required: ['kind', 'n'],
          },
          { type: 'object', properties: { kind: { const: 'b' } }, required: ['kind'] },
        ],
      },
      instances: [{ kind: 'a', n: 1 }, { kind: 'b' }, { kind: 'a' }, { kind: 'c' }],
    },
    {
      schema: {
        $defs: { pos: { type: 'integer', minimum: 1 } },
        type: 'array',
        items: { $ref: '#/$defs/pos' },
      },
      instances: [[1, 2], [0], []],
    },
    {
      schema: {
        definitions: { 'a/b~c': { type: 'null' } },
        properties: { x: { $ref: '#/definitions/a~1b~0c' } },
        type: 'object',
      },
      instances: [{ x: null }, { x: 1 }],
    },
    {
      schema: {
        type: 'object',
        properties: { v: { type: 'integer' }, next: { $ref: '#' } },
        required: ['v'],
      },
      instances: [{ v: 1 }, { v: 1, next: { v: 2, next: { v: 3 } } }, { v: 1, next: {} }],
    },
    {
      schema: { $ref: '#/$defs/s', maxLength: 2, $defs: { s: { type: 'string' } } },
      instances: ['ab', 'abc'],
    },
    { schema: true, instances: [1, 'a', {}, [null, true]] },
    {
      schema: {
        title: 't',
        description: 'd',
        default: 1,
        examples: [2],
        $comment: 'c',
        deprecated: true,
        'x-own': 1,
        type: 'integer',
      },
      instances: [1, 'a'],
    },
  ];

/** Schemas that cannot be enforced, and what the message must name. */
export const REFUSED_SCHEMAS: readonly (readonly [object, string])[] = [
  [{ not: { type: 'integer' } }, '"not"'],
  [{ type: 'object', properties: { a: { if: {}, else: {} } } }, '/properties/a: the keyword "if"'],
  [{ type: 'array', contains: { type: 'integer' } }, '"contains"'],
  [{ type: 'object', dependentRequired: { a: ['b'] } }, '"dependentRequired"'],
  [{ type: 'object', unevaluatedProperties: false }, '"unevaluatedProperties"'],
  [{ type: 'integer', multipleOf: 997 }, '/multipleOf: so many remainders'],
  [{ type: 'number', multipleOf: 1e-15 }, '/multipleOf: more than 14 decimal places'],
  [{ multipleOf: 0 }, '/multipleOf: must be above 0'],
  [{ multipleOf: '2' }, '/multipleOf: must be a number'],
  [{ multipleOf: 7, minimum: 1, maximum: 6 }, 'no value can be valid'],
  [{ multipleOf: 3, maximum: 1e15 }, '/maximum: a bound with so many digits'],
  [{ type: 'array', uniqueItems: true }, '/uniqueItems: true is supported for items that are one'],
  [{ uniqueItems: true }, '/uniqueItems'],
  [{ uniqueItems: 1 }, '/uniqueItems: must be true or false'],
  [{ uniqueItems: true, items: { type: 'string' } }, '/uniqueItems'],
  [{ uniqueItems: true, items: { enum: Array.from('abcdefghijk') } }, 'at most 1100 sets'],
  [{ uniqueItems: true, minItems: 3, items: { type: 'boolean' } }, 'no value can be valid'],
  [
    {
      uniqueItems: true,
      items: { oneOf: [{ enum: [1, 2] }, { enum: [2, 3] }] },
    },
    '/items/oneOf: alternatives 0 and 1',
  ],
  [{ type: 'integer', minimum: 0, maximum: 1e18 }, '/maximum: a bound with so many digits'],
  [{ type: 'string', format: 'regex' }, '/format'],
  [{ type: 'string', pattern: '(?=a)b' }, '/pattern: look-around'],
  [{ type: 'string', pattern: '(' }, '/pattern: Invalid regular expression'],
  [{ type: 'string', pattern: '^a+b$', maxLength: 3 }, '/pattern'],
  [{ $ref: 'https://example.com/s.json' }, '/$ref'],
  [{ $ref: '#/$defs/none' }, 'leads nowhere'],
  [{ type: 'integer', minimum: 5, maximum: 4 }, 'no value can be valid'],
  [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, 'no finite value'],
  [{ type: 'text' }, '/type'],
  [{ type: 'string', minLength: -1 }, '/minLength'],
  [{ requird: ['a'] }, '"requird"'],
  [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, '/oneOf'],
  [{ type: 'object', patternProperties: { a: {} }, properties: { b: {} } }, '/patternProperties'],
  [
    { type: 'object', properties: { a: {} }, additionalProperties: true, minProperties: 2 },
    '/minProperties',
  ],
];
