// Your own server, with the whole API below /llm. PORT=3000 node examples/fastify-plugin.mjs
import { fastify } from 'fastify';
import { octavo } from 'octavo/server';

const app = fastify();
app.get('/', () => ({ hello: 'world' }));
await app.register(octavo, { prefix: '/llm' });
const url = await app.listen({ port: Number(process.env.PORT ?? 0) });
console.log(`listening on ${url}; try ${url}/llm/ and ${url}/llm/v1/models`);
process.once('SIGTERM', () => void app.close());
