import { randomUUID } from 'node:crypto';

const hex = (): string => randomUUID().replaceAll('-', '');

/** OpenAI's form. */
export function newCallId(): string {
  return `call_${hex()}`;
}

/** Mistral's chat templates refuse ids that are not nine letters and digits. */
export function newShortCallId(): string {
  return hex().slice(0, 9);
}
