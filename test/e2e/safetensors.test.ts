import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { exitCode, runOctavo, startOctavo } from '../support/octavo-process.js';
import { tinyCheckpoint } from '../support/tiny-checkpoint.js';

/** octavo-tiny as safetensors, in a directory that is gone when the test is over. */
function checkpoint(): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, content] of tinyCheckpoint()) writeFileSync(join(dir, name), content);
  return dir;
}

async function ask(url: string, model: string, question: string): Promise<string> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: question }],
      temperature: 0,
    }),
  });
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0].message.content;
}

it.each([[[]], [['--quantize', 'w8a8']], [['--quantize', 'q4', '--calibrate', 'TEXTS']]])(
  'a directory of safetensors holds a chat, with %j',
  async (flags) => {
    const dir = checkpoint();
    const cache = join(dir, 'cache');
    const texts = join(dir, 'texts.txt');
    writeFileSync(
      texts,
      'The capital of Italy is Rome.\nOnce upon a time, a fox lived in a wood.\n',
    );
    const given = flags.map((flag) => (flag === 'TEXTS' ? texts : flag));
    const args = ['--model', dir, '--model-cache-dir', cache, ...given];
    const { child, url } = await startOctavo(args);
    const answer = await ask(url, basename(dir), 'What is the capital of France?');
    expect(answer).toBe('The capital of France is Paris.');
    const ended = exitCode(child);
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  },
);

it('octavo inspect shows the description, sizes, and what --quantize would do', async () => {
  const { stdout, code } = await runOctavo(['inspect', checkpoint(), '--quantize', 'w8a8']);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /architecture +llama: 5 layers of width 192, feed-forward of 512 with silu and a gate, head tied to the embedding/,
  );
  expect(stdout).toMatch(/weights +9\.\d MiB/);
  expect(stdout).toMatch(/5 attention sites/);
  expect(stdout).toMatch(/w8a8: 26 matmuls of 21 activations/);
  expect(stdout).toMatch(/w8a8: embedding .*, tied to the LM head/);
});
