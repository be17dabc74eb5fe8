// Speculation, in one of two ways: how quick drafts of chosen quality are, on random weights, or
// how often those of trained layers are right (`octavo-tiny`).

await (process.argv[2] === 'octavo-tiny'
  ? import('./draft-acceptance.js')
  : import('./drafted-speed.js'));
