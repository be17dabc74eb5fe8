/**
 * Waits for something that another part of the process, or another process, is about to do, and
 * that then stays so: a fast machine may be past a passing state before the first look.
 *
 * @param seconds only against a hang: a busy machine takes many times what a quiet one does
 * @param everyMs pause between two looks
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  { seconds = 120, everyMs = 5 }: { readonly seconds?: number; readonly everyMs?: number } = {},
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`did not happen within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
