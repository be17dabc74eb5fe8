// For --import: on SIGUSR2 the process collects garbage in all its threads, and prints a line on
// stderr with what is left and how late its event loop has been since the last time, without the
// time of the collections themselves.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import v8 from 'node:v8';
import vm from 'node:vm';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

/**
 * A thread that does not answer in this time is left out; what reads the lines sees that it is
 * missing.
 */
const PATIENCE_MS = 60_000;

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');
const channel = new BroadcastChannel('soak-probe');

/** Twice: what the first collection finds dead gives its buffers back only afterwards. */
function measure(tell) {
  collect();
  setTimeout(() => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    tell(heapUsed + external);
  }, 50);
}

if (isMainThread) {
  // As in /metrics: prom-client takes this resolution.
  const delay = monitorEventLoopDelay({ resolution: 10 });
  let workers = 0;
  let heaps = [];
  let tell = () => undefined;
  const hear = (bytes) => {
    heaps.push(bytes);
    if (heaps.length === workers + 1) tell();
  };
  channel.addEventListener('message', ({ data }) => {
    if (data.hello) workers += 1;
    if (data.bytes !== undefined) hear(data.bytes);
  });
  process.on('SIGUSR2', () => {
    delay.disable();
    heaps = [];
    const late = setTimeout(() => tell(), PATIENCE_MS);
    tell = () => {
      clearTimeout(late);
      const heap = heaps.reduce((sum, bytes) => sum + bytes, 0);
      const { rss } = process.memoryUsage();
      const p99 = delay.percentile(99) / 1e6;
      process.stderr.write(`${JSON.stringify({ threads: heaps.length, heap, rss, p99 })}\n`);
      delay.reset();
      delay.enable();
    };
    measure(hear);
    channel.postMessage({ ask: true });
  });
  delay.enable();
} else {
  channel.addEventListener('message', ({ data }) => {
    if (data.ask) measure((bytes) => channel.postMessage({ bytes }));
  });
  channel.postMessage({ hello: true });
}
// A listener would keep the thread alive.
channel.unref();
