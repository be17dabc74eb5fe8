import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { TokenId } from '../../scheduler/ids.js';
import { EagerProposer } from '../support/eager-proposer.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

// The layers that were trained for octavo-tiny: what they draft, and how often it is right.

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const END = 2 as TokenId;
const DRAFTED = 4;

type Layers = 'eagle' | 'poss';

interface GoldenText {
  readonly prompt: readonly TokenId[];
  readonly answer: readonly TokenId[];
  readonly drafts: readonly ({
    /** Tokens of prompt and answer before the draft. */
    readonly decided: number;
  } & Readonly<Record<Layers, { readonly tokens: readonly TokenId[] }>>)[];
}

/** What PyTorch drafts (`models/octavo-tiny/training/draft_layers/golden.py`). */
const GOLDENS = JSON.parse(
  readFileSync(path('../fixtures/octavo-tiny/drafts.json'), 'utf8'),
) as GoldenText[];

const dirOf = (layers: Layers): string => path(`../../models/octavo-tiny-${layers}`);

/** Share of drafts that are right at each place, where all before it are: at least. */
const FLOORS: Readonly<Record<Layers, readonly number[]>> = {
  eagle: [0.55, 0.75, 0.5, 0.75],
  poss: [0.55, 0.75, 0.5, 0.75],
};

it.each(['eagle', 'poss'] as const)(
  '%s drafts what PyTorch drafts, and is often right',
  async (layers) => {
    const engine = await loadTiny({
      speculation: { method: 'eagle', maxDraftTokens: DRAFTED, model: { dir: dirOf(layers) } },
    });
    const { scheduler, runner, cache, info, draftLayers } = engine;
    if (!draftLayers) throw new Error('there are no layers');
    try {
      const proposer = new EagerProposer(draftLayers.drafter, DRAFTED);
      const own = { scheduler, runner, vocabSize: info.vocabSize, cache, now: () => 0 };
      const drafted = new EngineCore({ ...own, proposer });
      const requests = (sampling = GREEDY) =>
        GOLDENS.map(({ prompt }, i) =>
          tinyRequest(`t${i}`, prompt, { maxTokens: 24, stopTokenIds: [END], sampling }),
        );
      const texts = await runAll({ core: drafted }, requests());
      for (const [i, { answer }] of GOLDENS.entries()) {
        expect(tokensOf(texts.get(`t${i}`))).toEqual(answer);
      }
      let compared = 0;
      for (const { prompt, answer, drafts } of GOLDENS) {
        for (const golden of drafts) {
          const text = [...prompt, ...answer].slice(0, golden.decided);
          const made = proposer.drafts.get(text.join(' '));
          if (!made) continue;
          // Nothing is drafted behind a text's end, and nothing beyond its longest.
          const { tokens } = golden[layers];
          const end = tokens.indexOf(END);
          const whole = end < 0 ? tokens : tokens.slice(0, end + 1);
          expect(made).toEqual(whole.slice(0, made.length));
          compared += 1;
        }
      }
      expect(compared).toBeGreaterThan(GOLDENS.length);
      const warm = { ...GREEDY, temperature: 1, seed: 3 };
      const expected = await runAll({ core: new EngineCore(own) }, requests(warm));
      const actual = await runAll({ core: drafted }, requests(warm));
      for (const [id, outputs] of expected) {
        expect(tokensOf(actual.get(id))).toEqual(tokensOf(outputs));
      }
      const shares = proposer.right.map((right, at) => right / proposer.tried[at]);
      for (const [at, floor] of FLOORS[layers].entries()) {
        expect(shares[at]).toBeGreaterThan(floor);
      }
    } finally {
      await runner.dispose();
      await draftLayers.dispose();
    }
  },
);
