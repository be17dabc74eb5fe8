import { ChatTemplate } from '../../engine/text/chat-template.js';
import type { ServedModel } from '../../engine/text/served-model.js';
import { byteModel } from './byte-model.js';

/** Shows tools and calls as Hermes does, and opens reasoning when `enable_thinking` is true. */
const TEMPLATE =
  '{% if tools %}<tools>{% for t in tools %}{{ t.function.name }};{% endfor %}{% endif %}' +
  '{% for m in messages %}<{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}>' +
  '{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content }}' +
  '{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}' +
  '{% endfor %}<assistant>{% if enable_thinking %}<think>\n{% endif %}';

/** The byte model with a template that takes tools. */
export const toolModel: ServedModel = {
  ...byteModel,
  chatTemplate: new ChatTemplate(TEMPLATE, 'test', { bosToken: '', eosToken: '' }),
};

export const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'Get the weather in a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    },
  },
};

export const TIME = { type: 'function' as const, function: { name: 'get_time' } };
