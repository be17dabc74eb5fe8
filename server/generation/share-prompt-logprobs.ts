import type { TokenLogprobs } from '../../engine/core/protocol.js';
import type { EngineOutput } from '../engine-port.js';

/**
 * The engine gives a prompt's log-probabilities once, with the first completion. Here each completion has them with its first
 * output. The streams must be read side by side: those of the others wait for the first one's first output.
 */
export function sharePromptLogprobs(
  streams: readonly AsyncIterable<EngineOutput>[],
): AsyncIterable<EngineOutput>[] {
  let settle: (logprobs: readonly TokenLogprobs[] | undefined) => void = () => undefined;
  const shared = new Promise<readonly TokenLogprobs[] | undefined>((resolve) => {
    settle = resolve;
  });
  return streams.map((outputs, index) =>
    index === 0 ? announcing(outputs, settle) : receiving(outputs, shared),
  );
}

async function* announcing(
  outputs: AsyncIterable<EngineOutput>,
  settle: (logprobs: readonly TokenLogprobs[] | undefined) => void,
): AsyncGenerator<EngineOutput> {
  try {
    let isFirst = true;
    for await (const output of outputs) {
      if (isFirst && !output.promptLogprobs && output.finishReason !== 'abort') {
        throw new Error('the engine gave no log-probabilities of the prompt');
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
  shared: Promise<readonly TokenLogprobs[] | undefined>,
): AsyncGenerator<EngineOutput> {
  let isFirst = true;
  for await (const output of outputs) {
    const promptLogprobs = isFirst ? await shared : undefined;
    isFirst = false;
    yield promptLogprobs ? { ...output, promptLogprobs } : output;
  }
}
