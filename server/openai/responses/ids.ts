import { randomUUID } from 'node:crypto';

/**
 * OpenAI's prefixes: a response, a message, a function call and its output, a custom tool's
 * call and its output, a piece of reasoning.
 */
export type IdPrefix = 'resp' | 'msg' | 'fc' | 'fco' | 'ctc' | 'ctco' | 'rs';

/** Must be unguessable: the id grants read access. */
export function newItemId(prefix: IdPrefix): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`;
}
