import type { BeamParams } from '../../engine/protocol/request.js';
import { modelLogits } from './paged-model.js';

export interface FoundText {
  readonly tokenIds: readonly number[];
  readonly score: number;
}

export interface PlainBeams extends BeamParams {
  readonly maxTokens: number;
  readonly stops: readonly number[];
}

/**
 * Beam search over whole texts, without any cache: what each round finds follows from all
 * continuations of its beams. The rules are those of transformers.
 */
export function plainBeams(
  prompt: readonly number[],
  vocabSize: number,
  { width, lengthPenalty, earlyStopping, maxTokens, stops }: PlainBeams,
): FoundText[] {
  let beams: FoundText[] = [{ tokenIds: [], score: 0 }];
  let ended: FoundText[] = [];
  const best = (texts: FoundText[]): FoundText[] =>
    texts.sort((a, b) => b.score - a.score).slice(0, width);
  for (let length = 1; ; length++) {
    const all = beams.flatMap(({ tokenIds, score }) => {
      const logits = modelLogits([...prompt, ...tokenIds], vocabSize);
      const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      return Array.from(logits, (logit, token): FoundText => {
        return { tokenIds: [...tokenIds, token], score: score + logit - total };
      });
    });
    const ends = ({ tokenIds }: FoundText): boolean =>
      length === maxTokens || stops.includes(tokenIds[length - 1]);
    const scored = (text: FoundText, norm = length): FoundText => {
      return { ...text, score: text.score / norm ** lengthPenalty };
    };
    ended = best([
      ...ended,
      ...best([...all])
        .filter(ends)
        .map((text) => scored(text)),
    ]);
    beams = best(all.filter((text) => !ends(text)));
    if (beams.length === 0) return ended;
    if (ended.length < width) continue;
    const isPatient = earlyStopping === 'never' && lengthPenalty > 0;
    const hope = scored(beams[0], isPatient ? maxTokens : length);
    if (earlyStopping === true || hope.score <= ended[width - 1].score) return ended;
  }
}
