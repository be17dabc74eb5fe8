import { expect, it } from 'vitest';
import { analyzeModel } from '../../../engine/importer/analyze-model.js';
import { emitSegments } from '../../../engine/importer/emit/segments.js';
import { STEP_OUTPUT } from '../../../engine/importer/imported-model.js';
import { exportDir } from '../../support/export-fixtures.js';

it('tells what a decoder is before anything is emitted of it', async () => {
  const model = await analyzeModel({ modelDir: exportDir('genai', 'gemma3') });
  expect(model.sites.map(({ layer, slidingWindow }) => [layer, slidingWindow])).toEqual([
    ...[0, 1, 2, 3, 4].map((layer) => [layer, 24]),
    [5, 0],
  ]);
  expect(model.recognized.map(({ node }) => node.name)).toEqual(
    model.sites.map(({ node }) => node),
  );
  // One graph, attention nodes and all, which ends in the model's own logits.
  for (const { node } of model.recognized) expect(model.graph.nodes).toContain(node);
  const outputs = model.graph.nodes.flatMap(({ output }) => output);
  for (const name of Object.values(STEP_OUTPUT)) expect(outputs).not.toContain(name);

  const { segments, sites, vocabSize } = emitSegments(model);
  expect(segments).toHaveLength(7);
  expect(sites).toEqual(model.sites);
  expect(vocabSize).toBe(model.vocabSize);
  expect(segments[6].outputs).toContain(STEP_OUTPUT.topIds);
});
