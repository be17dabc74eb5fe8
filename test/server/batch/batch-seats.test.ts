import { expect, test } from 'vitest';
import { BatchSeats, type HeldSeats } from '../../../server/batch/batch-seats.js';

const { signal } = new AbortController();

/** Seats, and what happens to those who want some, in order. */
function seats(slots: number, most: number) {
  const all = new BatchSeats(slots, most);
  const said: string[] = [];
  const enter = async (name: string, sequences = 1): Promise<HeldSeats> => {
    const held = await all.enter(sequences, signal);
    said.push(`${name} runs`);
    held.control({
      pause: () => said.push(`${name} pauses`),
      resume: () => said.push(`${name} goes on`),
    });
    return held;
  };
  const taken = async (): Promise<string[]> => {
    await new Promise((resolve) => setImmediate(resolve));
    all.checkIntegrity();
    return said.splice(0);
  };
  return { all, enter, taken };
}

test('so many run, the others in their order', async () => {
  const { enter, taken } = seats(8, 3);
  const [a] = [enter('a', 2), enter('b'), enter('c'), enter('d', 2)];
  expect(await taken()).toEqual(['a runs', 'b runs']);
  (await a).leave();
  expect(await taken()).toEqual(['c runs']);
});

test('interactive requests take the seats of the latest, and give them back', async () => {
  const { all, enter, taken } = seats(4, 3);
  void enter('a');
  void enter('b');
  const first = all.interactiveBegins(2);
  expect(await taken()).toEqual(['a runs', 'b runs']);
  const second = all.interactiveBegins(1);
  expect(await taken()).toEqual(['b pauses']);
  const third = all.interactiveBegins(5);
  expect(await taken()).toEqual(['a pauses']);
  third();
  expect(await taken()).toEqual(['a goes on']);
  void enter('c');
  expect(await taken()).toEqual([]);
  second();
  expect(await taken()).toEqual(['b goes on']);
  first();
  expect(await taken()).toEqual(['c runs']);
});

test('one that comes to its seats late pauses at once', async () => {
  const { all, taken } = seats(2, 2);
  const held = await all.enter(1, signal);
  all.interactiveBegins(2);
  const said: string[] = [];
  held.control({ pause: () => said.push('pauses'), resume: () => undefined });
  held.control({ pause: () => said.push('again'), resume: () => undefined });
  expect(await taken()).toEqual([]);
  expect(said).toEqual(['pauses', 'again']);
});

test('a request of more sequences than may run has its turn alone', async () => {
  const { all, enter, taken } = seats(4, 2);
  const small = enter('small');
  void enter('large', 9);
  expect(await taken()).toEqual(['small runs']);
  (await small).leave();
  expect(await taken()).toEqual(['large runs']);
  all.interactiveBegins(1);
  expect(await taken()).toEqual(['large pauses']);
});

test('who leaves the queue makes room for the next', async () => {
  const { all, enter, taken } = seats(4, 2);
  const running = enter('a', 1);
  const controller = new AbortController();
  const left = all.enter(2, controller.signal);
  void enter('b', 1);
  expect(await taken()).toEqual(['a runs']);
  controller.abort(new Error('gone'));
  await expect(left).rejects.toThrow('gone');
  expect(await taken()).toEqual(['b runs']);
  await expect(all.enter(1, controller.signal)).rejects.toThrow('gone');
  (await running).leave();
});
