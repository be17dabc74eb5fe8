// An answer that follows a JSON schema, whatever the model would like to say.
import { createEngine } from 'octavo';

const engine = await createEngine();
const schema = {
  type: 'object',
  properties: {
    city: { type: 'string', maxLength: 20 },
    size: { enum: ['small', 'large'] },
  },
  required: ['city', 'size'],
  additionalProperties: false,
};
const { text } = await engine.chat([{ role: 'user', content: 'Name a city.' }], {
  responseFormat: { type: 'json_schema', schema },
  temperature: 0,
});
console.log(JSON.parse(text));
await engine.close();
