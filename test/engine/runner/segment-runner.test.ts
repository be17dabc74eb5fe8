import { InferenceSession } from 'onnxruntime-node';
import { expect, it, vi } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { loadTiny, runAll, tinyRequest } from '../../support/octavo-tiny.js';

type Outputs = Promise<InferenceSession.OnnxValueMapType>;

/** Bytes of each output of a run that are still there. */
function bytesOf(outputs: Awaited<Outputs>): number[] {
  return Object.values(outputs).map(({ data }) => (ArrayBuffer.isView(data) ? data.byteLength : 0));
}

it('has freed all that a step computed, but for its answer', async () => {
  const create = vi.spyOn(InferenceSession, 'create');
  const engine = await loadTiny();
  const sessions = await Promise.all(
    create.mock.results.map(({ value }) => value as Promise<InferenceSession>),
  );
  create.mockRestore();
  try {
    const runs = sessions.map((session) => vi.spyOn(session, 'run'));
    const prompt = [5, 6, 7] as TokenId[];
    await runAll(engine, [tinyRequest('one step', prompt, { maxTokens: 1 })]);
    // The last session computes the answer.
    const outputs = await Promise.all(
      runs.flatMap((run) =>
        run.mock.results.map(async ({ value }) => bytesOf(await (value as Outputs))),
      ),
    );
    const answer = outputs.pop() ?? [];
    expect(outputs.length).toBeGreaterThan(1);
    expect(outputs.flat().filter((bytes) => bytes > 0)).toEqual([]);
    expect(Math.max(...answer)).toBeGreaterThan(0);
  } finally {
    await engine.runner.dispose();
  }
});
