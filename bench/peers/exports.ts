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
import { pythonOf } from './python-env.js';

// The models of the peers that Python brings: their own exporters make them of the checkpoint that
// Octavo serves.

/** Bits of weights, as the exporters name them. */
export type WeightFormat = 'int8' | 'int4';

/** The checkpoint with ids of the begin and the end, which exporters and vLLM insist on. */
export function ensureWithEnds(shape: ShapeName): string {
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
  execFileSync(pythonOf('exporters'), argumentsOf(ensureWithEnds(shape), part), {
    stdio: ['ignore', 2, 2],
  });
  renameSync(part, directory);
  return directory;
}
