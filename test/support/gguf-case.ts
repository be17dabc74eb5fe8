import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { findSafetensors } from '../../engine/checkpoint/safetensors-files.js';
import { asGguf, type Conversion } from './checkpoint-as-gguf.js';
import { checkpointDir, quantizedDir } from './checkpoint-fixtures.js';
import { ExportRunner, readGoldenFile } from './export-fixtures.js';

const CHUNK = 24;

/** A checkpoint of the fixtures that is written as a GGUF file. */
export interface GgufCase extends Conversion {
  readonly fixture: string;
  /** Whether it is one of the quantized ones. */
  readonly quantized?: true;
  /** The file of what transformers says. */
  readonly golden?: string;
  /** What GGUF cannot say is changed in config.json; answers are then those of this model. */
  readonly config?: Readonly<Record<string, unknown>>;
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

interface Answers {
  /** By prompt. */
  readonly tokens: readonly (readonly number[])[];
  /** The logits that gave the first token. */
  readonly logits: readonly Float32Array[];
}

/** Writes the file. @returns what it says, and what transformers says */
export async function answersOf(
  of: GgufCase,
): Promise<{ readonly own: Answers; readonly expected: Answers }> {
  const source = directory();
  const fixture = (of.quantized ? quantizedDir : checkpointDir)(of.fixture);
  cpSync(fixture, source, { recursive: true });
  const stated = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
  const config = { ...stated, ...of.config };
  writeFileSync(join(source, 'config.json'), JSON.stringify(config));
  const file = join(directory(), 'model.gguf');
  writeFileSync(file, await asGguf(source, (await findSafetensors(source)) ?? '', config, of));
  const golden = readGoldenFile(join(fixture, of.golden ?? 'golden.json'));
  const run = async (model: string): Promise<Answers> => {
    const runner = await ExportRunner.load(model);
    onTestFinished(() => runner.dispose());
    const made = await runner.generate(golden.prompts, golden.tokens[0].length, CHUNK);
    return { tokens: made.map(({ tokens }) => tokens), logits: made.map(({ first }) => first) };
  };
  const expected = of.config
    ? await run(source)
    : { tokens: golden.tokens, logits: golden.logits.map(([first]) => first) };
  return { own: await run(file), expected };
}
