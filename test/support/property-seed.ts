import fc from 'fast-check';

// The floor of coverage, and what CI says of a commit, are facts about the code only when each run
// draws the same cases: with a seed of its own, a branch or a mistake that few cases reach would
// fail one run in many. Other runs draw new cases each time.
fc.configureGlobal({ seed: 20_261_201 });
