import { type ChildProcess, spawn } from 'node:child_process';

export interface OctavoServer {
  readonly child: ChildProcess;
  readonly url: string;
}

/**
 * The compiled server in a process of its own, on a free port, once it serves. It ends with this
 * process.
 *
 * @param root of the checkout whose `dist` runs
 * @throws Error with what it printed when it ends before
 */
export async function startOctavo(root: string, flags: readonly string[]): Promise<OctavoServer> {
  const args = [`${root}/dist/server/cli.js`, 'serve', '--port', '0', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    const look = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = /serving .+ on (http:\/\/[\d.]+:\d+)/.exec(output);
      if (!found) return;
      // From here on comes a line for each request: kept, they would cost the client more than its
      // requests.
      child.stdout.off('data', look).resume();
      resolve(found[1]);
    };
    child.stdout.on('data', look);
    child.once('exit', (code) => reject(new Error(`octavo ended with ${code}: ${output}`)));
  });
  return { child, url };
}
