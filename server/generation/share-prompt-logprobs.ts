import type { EngineOutput } from '../../engine/client/engine-port.js';
import type { TokenLogprobs } from '../../engine/protocol/outputs.js';

type PromptLogprobs = readonly TokenLogprobs[] | undefined;

/**
 * The engine gives a prompt's log-probabilities once, with the first completion. Here each completion has them with its first
 * output. The streams must be read side by side: those of the others wait for the first one's first output.
 */
export function sharePromptLogprobs(
  streams: readonly AsyncIterable<EngineOutput>[],
  promptTokens: number,
): AsyncIterable<EngineOutput>[] {
  let settle: (logprobs: PromptLogprobs) => void = () => undefined;
  const shared = new Promise<PromptLogprobs>((resolve) => {
    settle = resolve;
  });
  return streams.map((outputs, index) =>
    index === 0 ? announcing(outputs, promptTokens, settle) : receiving(outputs, shared),
  );
}

async function* announcing(
  outputs: AsyncIterable<EngineOutput>,
  promptTokens: number,
  settle: (logprobs: PromptLogprobs) => void,
): AsyncGenerator<EngineOutput> {
  let isFirst = true;
  try {
    for await (const output of outputs) {
      const count = output.promptLogprobs?.length ?? 0;
      if (isFirst && output.finishReason !== 'abort' && count !== promptTokens - 1) {
        throw new Error(`${promptTokens} tokens of a prompt came with ${count} log-probabilities`);
      }
      isFirst = false;
      settle(output.promptLogprobs);
      yield output;
    }
  } finally {
    // However it ended, nobody waits for it any longer.
    settle(undefined);
  }
}

async function* receiving(
  outputs: AsyncIterable<EngineOutput>,
  shared: Promise<PromptLogprobs>,
): AsyncGenerator<EngineOutput> {
  let isFirst = true;
  for await (const output of outputs) {
    const promptLogprobs = isFirst ? await shared : undefined;
    isFirst = false;
    yield promptLogprobs ? { ...output, promptLogprobs } : output;
  }
}
