import { expect, it } from 'vitest';
import { AcceptanceRates } from '../../../engine/speculation/acceptance.js';

it('begins with what is common to all, and learns of its own', () => {
  const common = new AcceptanceRates(100);
  const [one, other] = [new AcceptanceRates(20, common), new AcceptanceRates(20, common)];
  expect(one.rate('computed', 0)).toBeCloseTo(0.8);
  for (let i = 0; i < 20; i++) one.observe('computed', 0, false);
  expect(one.rate('computed', 0)).toBeLessThan(0.05);
  expect(other.rate('computed', 0)).toBeCloseTo(common.rate('computed', 0));
  for (let i = 0; i < 200; i++) other.observe('computed', 0, true);
  expect(other.rate('computed', 0)).toBeGreaterThan(0.9);
  expect(one.rate('computed', 0)).toBeLessThan(0.6);
  expect(one.rate('long', 0)).toBeCloseTo(0.6);
});

it('forgets its own with time, and has the common rate then', () => {
  const common = new AcceptanceRates(100);
  const one = new AcceptanceRates(20, common);
  for (let i = 0; i < 20; i++) one.observe('computed', 1, false);
  for (let i = 0; i < 200; i++) common.observe('computed', 1, true);
  const before = one.rate('computed', 1);
  for (let i = 0; i < 800; i++) one.fade();
  expect(before).toBeLessThan(0.6);
  expect(one.rate('computed', 1)).toBeCloseTo(common.rate('computed', 1), 2);
});
