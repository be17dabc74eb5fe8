import { randomUUID } from 'node:crypto';

/** OpenAI's prefixes: a response, a message, a function call and its output, a piece of reasoning. */
export type IdPrefix = 'resp' | 'msg' | 'fc' | 'fco' | 'rs';

/** Not to be guessed: who knows a response's id may read it. */
export function newItemId(prefix: IdPrefix): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`;
}
