// Loaded with --import before the program: it kills itself as the system would, in the middle of
// the n-th text that it appends to a file (KILL_AT_APPEND). Half of that is written.
import { open } from 'node:fs/promises';

const AT = Number(process.env.KILL_AT_APPEND);
const handle = await open(new URL(import.meta.url));
const prototype = Object.getPrototypeOf(handle);
await handle.close();

const { appendFile } = prototype;
let count = 0;
prototype.appendFile = async function appendHalf(text, ...more) {
  count += 1;
  if (count < AT) return appendFile.call(this, text, ...more);
  await appendFile.call(this, text.slice(0, text.length / 2), ...more);
  return process.kill(process.pid, 'SIGKILL');
};
