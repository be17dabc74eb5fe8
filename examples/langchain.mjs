// LangChain's own client for OpenAI, with the API in this process: nothing listens on a port.
import { ChatOpenAI } from '@langchain/openai';
import { createFetchHandler } from 'octavo/server';

const handle = createFetchHandler();
const model = new ChatOpenAI({
  model: 'octavo-tiny',
  apiKey: 'none',
  temperature: 0,
  configuration: {
    baseURL: 'http://octavo.local/v1',
    fetch: (url, init) => handle(new Request(url, init)),
  },
});
const { content } = await model.invoke('What is the capital of France?');
console.log(content);
for await (const chunk of await model.stream('What is the capital of Italy?')) {
  process.stdout.write(String(chunk.content));
}
process.stdout.write('\n');
await handle.close();
