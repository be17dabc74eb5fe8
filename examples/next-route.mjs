// A route file as Next.js has them: app/api/llm/[...path]/route.ts. Hono and others take the same
// function.
import { createFetchHandler } from 'octavo/server';

const handle = createFetchHandler({ prefix: '/api/llm' });

export const GET = handle;
export const POST = handle;

/** Ends the model; Next.js does not ask for it. */
export const close = () => handle.close();
