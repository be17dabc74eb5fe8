import { randomUUID } from 'node:crypto';

const hex = (): string => randomUUID().replaceAll('-', '');

/** An id in OpenAI's form. */
export function newCallId(): string {
  return `call_${hex()}`;
}

/** An id of nine letters and digits: Mistral's chat templates refuse all others. */
export function newShortCallId(): string {
  return hex().slice(0, 9);
}
