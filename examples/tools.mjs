// The model calls a function of yours, and goes on with what that gives.
import { createEngine } from 'octavo';

const engine = await createEngine();
const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather in a city',
      parameters: {
        type: 'object',
        properties: { city: { enum: ['Paris', 'Rome'] } },
        required: ['city'],
      },
    },
  },
];
const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
const asked = await engine.chat(messages, { tools, toolChoice: 'required', temperature: 0 });
messages.push(asked.message);
for (const { id, function: call } of asked.toolCalls) {
  console.log(`${call.name}(${call.arguments})`);
  messages.push({ role: 'tool', tool_call_id: id, content: 'sunny, 21 degrees' });
}
const { text } = await engine.chat(messages, { tools, temperature: 0, maxTokens: 64 });
console.log(text);
await engine.close();
