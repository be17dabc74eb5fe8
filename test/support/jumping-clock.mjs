// Loaded with --import before the program: the wall clock jumps by up to a day, forward and back,
// at every look. The monotonic clock is left alone.
const DAY_MS = 86_400_000;
const RealDate = Date;
let state = 1;

function now() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return RealDate.now() + Math.round((state / 2 ** 31 - 1) * DAY_MS);
}

globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(now());
    else super(...given);
  }

  static now() {
    return now();
  }
};
