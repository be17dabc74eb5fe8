import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensureShape } from '../models/random-checkpoint.js';
import type { ShapeName } from '../models/shapes.js';

// The peers that Python brings: their packages in bench/peers/.venv, and their models, which their
// own exporters make of the checkpoint that Octavo serves.

const HERE = fileURLToPath(new URL('.', import.meta.url));
const VENV = `${HERE}.venv`;
export const PYTHON = `${VENV}/bin/python`;

/** Bits of weights, as the exporters name them. */
export type WeightFormat = 'int8' | 'int4';

/**
 * Installs the packages on first use (about 2 GB, most of it for the exporters).
 *
 * @returns null, or why they cannot be installed, in one line
 */
export function installPython(): string | null {
  const done = `${VENV}/installed.txt`;
  const wanted = readFileSync(`${HERE}python/requirements.txt`, 'utf8');
  if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return null;
  process.stderr.write('installing the Python peers into bench/peers/.venv (about 2 GB)\n');
  try {
    execFileSync('python3', ['-m', 'venv', VENV], { stdio: 'inherit' });
    const pip = ['-m', 'pip', 'install', '--quiet', '--requirement'];
    execFileSync(PYTHON, [...pip, `${HERE}python/requirements.txt`], { stdio: 'inherit' });
  } catch (error) {
    return `the Python packages cannot be installed: ${error instanceof Error ? error.message : String(error)}`;
  }
  writeFileSync(done, wanted);
  return null;
}

/** Version of a Python package that is installed. */
export function pythonVersion(name: string): string {
  const code = `import importlib.metadata; print(importlib.metadata.version('${name}'))`;
  return `${name} ${execFileSync(PYTHON, ['-c', code], { encoding: 'utf8' }).trim()}`;
}

/** The checkpoint with ids of the begin and the end, which exporters insist on. */
function exportable(shape: ShapeName): string {
  const source = ensureShape(shape, 'BF16');
  const directory = `${source}-for-exporters`;
  mkdirSync(directory, { recursive: true });
  for (const name of ['model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
    if (!existsSync(`${directory}/${name}`))
      symlinkSync(`${source}/${name}`, `${directory}/${name}`);
  }
  const config = JSON.parse(readFileSync(`${source}/config.json`, 'utf8')) as object;
  const ends = { bos_token_id: 0, eos_token_id: 0 };
  writeFileSync(`${directory}/config.json`, JSON.stringify({ ...config, ...ends }));
  return directory;
}

/** @returns the directory of OpenVINO's model, made on first use by optimum-intel's defaults */
export function ensureOpenVino(shape: ShapeName, format: WeightFormat): string {
  return ensureExport(`openvino-${format}`, shape, (source, output) => [
    '-m',
    'optimum.commands.optimum_cli',
    ...['export', 'openvino', '--model', source, '--task', 'text-generation-with-past'],
    ...['--weight-format', format, output],
  ]);
}

/** @returns the directory of ONNX Runtime GenAI's model, made on first use by its builder */
export function ensureGenai(shape: ShapeName, format: WeightFormat): string {
  return ensureExport(`genai-${format}`, shape, (source, output) => [
    '-m',
    'onnxruntime_genai.models.builder',
    ...['-i', source, '-o', output, '-p', format, '-e', 'cpu', '-c', `${output}-cache`],
  ]);
}

function ensureExport(
  name: string,
  shape: ShapeName,
  argumentsOf: (source: string, output: string) => readonly string[],
): string {
  const directory = fileURLToPath(new URL(`../models/generated/${shape}-${name}`, import.meta.url));
  if (existsSync(directory)) return directory;
  process.stderr.write(`exporting ${shape} as ${name}\n`);
  const part = `${directory}.part`;
  execFileSync(PYTHON, argumentsOf(exportable(shape), part), { stdio: ['ignore', 2, 2] });
  renameSync(part, directory);
  return directory;
}
