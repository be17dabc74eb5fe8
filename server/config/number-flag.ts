import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/** A flag of one command that takes a number; settings of the server are in settings.ts. */
export interface NumberFlag {
  readonly flag: string;
  readonly integer: boolean;
  readonly minimum: number;
  readonly maximum: number;
  readonly description: string;
}

/**
 * @returns null when the flag is not given
 * @throws OctavoError `usage`
 */
export function parseNumber(flag: NumberFlag, text: unknown): number | null {
  if (typeof text !== 'string') return null;
  const form = flag.integer ? /^\d+$/ : /^\d+(\.\d+)?$/;
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (value >= flag.minimum && value <= flag.maximum) return value;
  const kind = flag.integer ? 'an integer' : 'a number';
  throw new OctavoError(
    'usage',
    `${flag.flag} ${clip(text)}: must be ${kind} from ${flag.minimum} to ${flag.maximum}`,
    { param: flag.flag },
  );
}
