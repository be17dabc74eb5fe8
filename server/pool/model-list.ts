import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isGgufFile } from '../../engine/checkpoint/gguf-files.js';
import { ggufName } from '../../engine/checkpoint/gguf-names.js';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { hubNames, parseHubId } from '../../engine/hub/hub-id.js';
import type { Settings } from '../config/settings.js';

/** One of the models that a server may serve. */
export interface ModelSpec {
  readonly names: readonly [string, ...string[]];
  /** Directory, GGUF file, or name on the hub. */
  readonly model: string;
  /** The flag that named it, for messages. */
  readonly flag: string;
}

type ListSettings = Pick<Settings, 'model' | 'modelsDir' | 'servedModelName' | 'file'>;

/** `name=model`: a name has no slash, so that paths with an equals sign stay paths. */
const NAMED = /^([^=/\\\s]+)=(.+)$/;

/**
 * The models that flags name, the default first.
 *
 * @param embedded directory of the model that is served when none is named
 * @throws OctavoError `usage` for two models of one name, for names of several models, and for a
 *   directory that cannot be read
 */
export function listModels(
  { model: given, modelsDir, servedModelName, file }: ListSettings,
  embedded: string,
): [ModelSpec, ...ModelSpec[]] {
  const named = given.map((text) => specOf(text));
  const found = modelsDir === undefined ? [] : modelsIn(modelsDir);
  const [first = specOf(embedded), ...others] = [...named, ...found];
  if (servedModelName.length > 0 && others.length > 0) {
    const message = `--served-model-name ${clip(servedModelName[0])}: with several models, write --model name=model`;
    throw new OctavoError('usage', message, { param: '--served-model-name' });
  }
  if (file !== undefined && others.length > 0) {
    const message = `--file ${clip(file)}: is for one model; with several, name the file by --model`;
    throw new OctavoError('usage', message, { param: '--file' });
  }
  const [name, ...more] = servedModelName;
  const specs: [ModelSpec, ...ModelSpec[]] = [
    name === undefined ? first : { ...first, names: [name, ...more] },
    ...others,
  ];
  const taken = new Map<string, ModelSpec>();
  for (const spec of specs) {
    for (const own of spec.names) {
      const before = taken.get(own);
      if (before) {
        const message = `${spec.flag} ${clip(spec.model)}: ${clip(before.model)} is called ${clip(own)}, too; write --model name=model`;
        throw new OctavoError('usage', message, { param: spec.flag });
      }
      taken.set(own, spec);
    }
  }
  return specs;
}

/** @param text as `--model` has it */
export function specOf(text: string): ModelSpec {
  const [, name, path] = NAMED.exec(text) ?? [];
  const flag = '--model';
  if (name !== undefined && path !== undefined && !existsSync(text)) {
    return { names: [name], model: path, flag };
  }
  return { names: namesOf(text), model: text, flag };
}

function namesOf(model: string): ModelSpec['names'] {
  if (isGgufFile(model)) return [ggufName(model)];
  const id = existsSync(model) ? null : parseHubId(model);
  if (id) return hubNames(id);
  return [basename(resolve(model))];
}

/**
 * The models of `--models-dir`, in the order of their names: GGUF files, and directories with a
 * config.json or a GGUF file; also those one directory further down, as `owner/name`.
 *
 * @throws OctavoError `usage` for a directory that cannot be read
 */
export function modelsIn(dir: string): ModelSpec[] {
  const flag = '--models-dir';
  let names: string[];
  try {
    names = readdirSync(dir).toSorted();
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new OctavoError('usage', `${flag} ${clip(dir)}: cannot be read (${reason})`, {
      param: flag,
    });
  }
  return names.flatMap((name): ModelSpec[] => {
    const model = join(dir, name);
    if (isGgufFile(model)) return [{ names: [ggufName(model)], model, flag }];
    const inside = contentOf(model);
    if (isModel(inside)) return [{ names: [name], model, flag }];
    return inside.toSorted().flatMap((below) => {
      const path = join(model, below);
      return isModel(contentOf(path)) ? [{ names: [`${name}/${below}`], model: path, flag }] : [];
    });
  });
}

const isModel = (files: readonly string[]): boolean =>
  files.some((file) => file === 'config.json' || /\.gguf$/i.test(file));

/** Names in a directory; none for what is no directory. */
function contentOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
