import { existsSync, readFileSync } from 'node:fs';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { nearest } from './flags.js';
import { parseSetting } from './parse-setting.js';
import { flagName, isRepeatable, listSettings, type SettingSchema } from './setting-list.js';
import type { SettingName } from './settings.js';

/** The file that is read where none is named. */
export const DEFAULT_CONFIG = 'octavo.yaml';

/** Texts of a setting, and where they stand: the beginning of a message. */
export interface FileEntry {
  readonly texts: readonly string[];
  readonly source: string;
}

/** A file of settings, by the names of their flags without dashes before them. */
export interface ConfigFile {
  readonly path: string;
  readonly entries: ReadonlyMap<SettingName, FileEntry>;
  /** All that is wrong, a line for each, with the number of its line in the file. */
  readonly problems: readonly string[];
}

/**
 * The file that is named, or else `octavo.yaml` of the working directory; null for none.
 *
 * @throws OctavoError `usage` for a named file that cannot be read
 */
export function settingsFile(named: string | undefined): ConfigFile | null {
  if (named !== undefined && named !== '') return readConfigFile(named);
  return existsSync(DEFAULT_CONFIG) ? readConfigFile(DEFAULT_CONFIG) : null;
}

/** @throws OctavoError `usage` for a file that cannot be read */
export function readConfigFile(path: string): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new OctavoError('usage', `--config ${clip(path)}: cannot be read (${code})`, {
      param: '--config',
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => `${path}:${lines.linePos(offset).line}:`;
  const problems = document.errors.map(({ pos, message }) => `${at(pos[0])} ${clip(message)}`);
  const entries = new Map<SettingName, FileEntry>();
  const { contents } = document;
  if (problems.length > 0 || contents === null) return { path, entries, problems };
  if (!isMap(contents)) {
    return { path, entries, problems: [`${at(0)} must be settings, one a line: port: 8000`] };
  }
  for (const { key, value } of contents.items) {
    const start = (key as Node).range?.[0] ?? 0;
    const name = isScalar(key) ? String(key.value) : '';
    const source = `${at(start)} ${clip(name)}`;
    const setting = settingOf(name);
    if (setting === null) {
      problems.push(`${source}: ${unknown(name)}`);
      continue;
    }
    const texts = textsOf(value);
    if (texts === null || (texts.length !== 1 && !isRepeatable(setting.schema))) {
      const kind = isRepeatable(setting.schema) ? 'a value, or a list of values' : 'one value';
      problems.push(`${source}: must be ${kind}`);
      continue;
    }
    try {
      parseSetting(setting.name, setting.schema, texts, source);
      entries.set(setting.name, { texts, source });
    } catch (error) {
      if (!(error instanceof OctavoError)) throw error;
      problems.push(error.message);
    }
  }
  return { path, entries, problems };
}

/** Those of the file itself have no meaning in it. */
const FILE_SETTINGS = listSettings('all').filter(([name]) => name !== 'config');

const keyOf = (name: SettingName): string => flagName(name).slice(2);

function settingOf(
  key: string,
): { readonly name: SettingName; readonly schema: SettingSchema } | null {
  const found = FILE_SETTINGS.find(([name]) => keyOf(name) === key);
  return found ? { name: found[0], schema: found[1] } : null;
}

function unknown(key: string): string {
  const known = FILE_SETTINGS.map(([name]) => keyOf(name));
  const best = nearest(key.replaceAll('_', '-'), known);
  const meant = best === null ? '' : `did you mean ${best}? `;
  return `unknown key: ${meant}keys are the flags of octavo serve without --`;
}

/** The texts of a value as they are written; null for what is no value. */
function textsOf(value: unknown): string[] | null {
  if (isSeq(value)) {
    const texts = value.items.map(textOf);
    return texts.every((text) => text !== null) ? texts : null;
  }
  const text = textOf(value);
  return text === null ? null : [text];
}

function textOf(value: unknown): string | null {
  if (!isScalar(value)) return null;
  const { value: scalar, source } = value;
  if (typeof scalar === 'string') return scalar;
  const isPlain = typeof scalar === 'number' || typeof scalar === 'boolean';
  return isPlain ? (source ?? `${scalar}`) : null;
}
