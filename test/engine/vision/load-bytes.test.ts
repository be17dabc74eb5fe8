import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isPublic, loadBytes } from '../../../engine/vision/load-bytes.js';

const signal = new AbortController().signal;

/** A server that is reached by any name. */
async function serve(listener: RequestListener): Promise<{ port: number; load: typeof load }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return { port, load };
}

const load = (url: string, ...allowedDomains: string[]): Promise<Uint8Array> =>
  loadBytes(
    url,
    {
      allowedDomains,
      lookup: (_, options, callback) => {
        if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
        else callback(null, '127.0.0.1', 4);
      },
    },
    signal,
  );

describe('an image that is fetched', () => {
  it('comes from a host that is allowed, also by redirects', async () => {
    const { port } = await serve((request, response) => {
      if (request.url === '/b') response.end('picture');
      else response.writeHead(302, { location: `http://b.test:${port}/b` }).end();
    });
    const bytes = await load(`http://a.test:${port}/a`, 'a.test', 'b.test');
    expect(Buffer.from(bytes).toString()).toBe('picture');
  });

  it('is refused when a redirect leads to another host, or in a circle', async () => {
    const { port } = await serve((request, response) => {
      const location = request.url === '/circle' ? '/circle' : `http://b.test:${port}/b`;
      response.writeHead(302, { location }).end();
    });
    await expect(load(`http://a.test:${port}/a`, 'a.test')).rejects.toThrow(
      /not fetched from b.test \(--allowed-media-domains\)/,
    );
    await expect(load(`http://a.test:${port}/circle`, 'a.test')).rejects.toThrow(/3 redirects/);
  });

  it('is refused when it is not there, or larger than allowed', async () => {
    const { port } = await serve((request, response) => {
      if (request.url === '/large') response.end(Buffer.alloc(21 * 2 ** 20));
      else response.writeHead(404).end();
    });
    await expect(load(`http://a.test:${port}/no`, 'a.test')).rejects.toThrow(/with status 404/);
    await expect(load(`http://a.test:${port}/large`, 'a.test')).rejects.toThrow(/than 20 MiB/);
  });

  it('never comes from private networks, whatever the operator has allowed', async () => {
    const fetched = (url: string, host: string): Promise<Uint8Array> =>
      loadBytes(url, { allowedDomains: [host] }, signal);
    await expect(fetched('http://localhost:1/x', 'localhost')).rejects.toThrow(
      /localhost has no address outside of private networks/,
    );
    await expect(fetched('http://127.0.0.1:1/x', '127.0.0.1')).rejects.toThrow(
      /not from addresses/,
    );
    await expect(fetched('http://[::1]:1/x', '[::1]')).rejects.toThrow(/not from addresses/);
  });

  it.each([
    ['93.184.216.34', true],
    ['10.1.2.3', false],
    ['100.64.0.1', false],
    ['127.0.0.1', false],
    ['169.254.169.254', false],
    ['172.31.0.1', false],
    ['192.168.1.1', false],
    ['224.0.0.1', false],
    ['2606:2800:220:1::1', true],
    ['::1', false],
    ['::ffff:10.0.0.1', false],
    ['fd00::1', false],
    ['fe80::1', false],
    ['64:ff9b::a00:1', false],
    ['2002:a00:1::', false],
  ])('knows of %s whether it is of the internet: %s', (address, expected) => {
    expect(isPublic(address)).toBe(expected);
  });
});

describe('an image in its URL', () => {
  it('is base64', async () => {
    expect(await load('data:image/png;base64,AAEC')).toEqual(Buffer.from([0, 1, 2]));
    expect(await load('data:;base64,AAE=')).toEqual(Buffer.from([0, 1]));
    for (const url of ['data:image/png;base64,', 'data:image/png;base64,AA!?']) {
      await expect(load(url)).rejects.toThrow(/data of its URL are not base64/);
    }
    await expect(load('data:image/png,AAEC')).rejects.toThrow(/must be data:image/);
  });
});
