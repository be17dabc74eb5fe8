import { describe, expect, it } from 'vitest';
import { parseTemplate } from '../../../engine/text/jinja-program.js';

describe('a template that does not parse says where', () => {
  it.each<[string, string | RegExp]>([
    ['{{ a b }}', /^line 1: Parser Error: Expected closing expression token/],
    ['a\n\n{{ (x }}', /^line 3: Parser Error: Expected closing parenthesis/],
    ['a\n{# b', 'line 2: {# is not closed'],
    ['{# b\n#}\n{{ x', 'line 3: {{ is not closed'],
    ["{{ 'a}}' }}\n{% if x", 'line 2: {% is not closed'],
    ['x\n{% if a %}\ny', 'line 2: if is not closed'],
    ['\n{% endif %}', 'line 2: endif closes nothing'],
    ['{% for x in y %}\n{% endif %}', 'line 2: endif closes the for of line 1'],
    ['{% macro f() %}{% else %}{% endmacro %}', 'line 1: else is in no if or for'],
    ['{% for x in y %}\n{%- elif x %}{% endfor %}', 'line 2: elif is in no if'],
    ['a\n{% foo %}', 'line 2: Unknown statement type: foo'],
    ['{% set a %}\nx', 'line 1: set is not closed'],
    ["{% if a %}\n{%- elif b | %}{% else %}{{ {'a': {'b': 1}} }}\n{% endif %}", /^line 2: /],
  ])('%j', (source, problem) => {
    expect(() => parseTemplate(source)).toThrow(problem);
  });

  it('and one that parses is no problem', () => {
    const source =
      "{% set a %}x{% endset %}{% set b = '%}' %}{% if a %}1{% elif b %}2{% else %}3{% endif %}" +
      "{% for x in [1] if x %}{{ {'a': {'b': 1}} }}{% else %}{% endfor %}{# {{ #}{% break %}";
    expect(() => parseTemplate(source)).not.toThrow();
  });
});
