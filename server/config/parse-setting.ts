import { Compile } from 'typebox/compile';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { SettingSchema } from './setting-list.js';
import { type SettingName, SettingsSchema } from './settings.js';

const UNITS: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/**
 * Turns the text of a flag or a variable into the setting's value.
 *
 * @param source how the text was given, `--port` or `OCTAVO_PORT`; the message starts with it
 * @throws OctavoError `usage`: one line with the source, the value and what is allowed
 */
export function parseSetting(
  name: SettingName,
  schema: SettingSchema,
  texts: readonly string[],
  source: string,
): unknown {
  const list = schema.type === 'array';
  const value: unknown = list ? texts : parseText(schema, texts.at(-1) ?? '');
  const validator = Compile(SettingsSchema.properties[name]);
  if (!validator.Check(value)) {
    const wrong = list ? texts.find((text) => !validator.Check([text])) : texts.at(-1);
    const shown = wrong ?? '';
    throw new OctavoError('usage', `${source} ${quote(shown)}: must be ${allowed(schema)}`, {
      param: source,
    });
  }
  return value;
}

/** The value, or the text itself when it has not the right form: validation then names it. */
function parseText(schema: SettingSchema, text: string): unknown {
  if (schema.unit === 'bytes') return parseBytes(text) ?? text;
  switch (schema.type) {
    case 'integer':
      return /^[+-]?\d+$/.test(text) ? Number(text) : text;
    case 'number':
      return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'boolean':
      return parseBoolean(text) ?? text;
    case undefined:
    default:
      return text;
  }
}

function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
  const unit = UNITS[match?.[2]?.toUpperCase() ?? '?'];
  if (match === null || unit === undefined) return null;
  return Math.floor(Number(match[1]) * unit);
}

function parseBoolean(text: string): boolean | null {
  if (['true', '1', 'yes', 'on'].includes(text.toLowerCase())) return true;
  if (['false', '0', 'no', 'off'].includes(text.toLowerCase())) return false;
  return null;
}

function allowed(schema: SettingSchema): string {
  if (schema.unit === 'bytes')
    return 'a size such as 2GiB, 512MiB or a number of bytes, at least 1';
  if (schema.enum) return `one of ${schema.enum.join(', ')}`;
  switch (schema.type) {
    case 'integer':
      return `an integer from ${schema.minimum} to ${schema.maximum}`;
    case 'number':
      return `a number from ${schema.minimum} to ${schema.maximum}`;
    case 'boolean':
      return 'true or false';
    case undefined:
    default:
      return schema.allowed ?? 'a text that is not empty';
  }
}

function quote(text: string): string {
  const shown = clip(text.replaceAll(/\s/g, ' '));
  return shown === '' ? "''" : shown;
}
