import { availableParallelism } from 'node:os';
import { openEncoder } from '../../engine/encoder/encoder.js';
import type { ModelFiles } from '../../engine/model/open-model.js';
import { readEmbeddingPrompts } from '../../engine/text/embedding-prompts.js';
import type { TokenId } from '../../scheduler/ids.js';
import { columns } from './columns.js';

/** Of float32 sums in another order. */
const TOLERANCE = 1e-3;

/** What `octavo inspect` prints of an encoder, after two texts were computed alone and together. */
export async function describeEncoder(files: ModelFiles): Promise<string> {
  const encoder = await openEncoder({ ...files, threads: availableParallelism() });
  try {
    const { config, task, width, notes, runsAlone } = encoder;
    const [file, ...others] = notes;
    const { byName } = await readEmbeddingPrompts(files.modelDir);
    const first = Array.from({ length: Math.min(9, config.maxLength) }, (_, i) => i as TokenId);
    const second = first.slice(0, Math.ceil(first.length / 2)).toReversed();
    const inputs = [first, second].map((tokenIds) => ({ tokenIds }));
    const together = runsAlone ? null : await encoder.encode(inputs);
    let worst = 0;
    for (const [index, input] of inputs.entries()) {
      const [alone] = await encoder.encode([input]);
      alone.forEach((value, i) => {
        worst = Math.max(worst, Math.abs(value - (together?.[index][i] ?? value)));
      });
    }
    const batch = runsAlone
      ? 'texts are computed one at a time: the graph mixes them'
      : worst <= TOLERANCE
        ? 'two texts computed alone and together: they do not mix'
        : `two texts differ by ${worst.toExponential(1)} when they are computed together`;
    const rows = columns([
      ['encoder', file],
      ['gives', `${task === 'score' ? 'scores of pairs' : 'vectors'} of ${width}`],
      ['texts', `at most ${config.maxLength} tokens, of ${config.vocabSize}`],
      ['prompts', byName.size === 0 ? 'none' : [...byName.keys()].join(', ')],
      ['batches', batch],
    ]);
    return [rows.trimEnd(), ...others.map((line) => `  ${line}`), ''].join('\n');
  } finally {
    await encoder.release();
  }
}
