// An API request holds prompts, and n choices of each. Choices are numbered through all prompts,
// those of the first prompt first.

/** @param n choices of each prompt */
export const choiceIndex = (prompt: number, choice: number, n: number): number =>
  prompt * n + choice;

/** The prompt that a choice continues. */
export const promptOf = (index: number, n: number): number => Math.floor(index / n);

/** @param choices of all prompts, by their index. @returns `[prompt][choice]` */
export function byPrompt<Choice>(choices: readonly Choice[], n: number): Choice[][] {
  return Array.from({ length: choices.length / n }, (_, prompt) =>
    choices.slice(prompt * n, (prompt + 1) * n),
  );
}
