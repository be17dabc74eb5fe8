import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Files in PEM form. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface TestAuthority {
  /** Its own certificate. */
  readonly ca: string;
  /** A certificate for a name: `IP:127.0.0.1`, `DNS:localhost`. */
  readonly issue: (name: string) => KeyPair;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate authority of a test, whose certificates last for a day. */
export function testAuthority(): TestAuthority {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-tls-'));
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const subject = ['-subj', '/CN=octavo test'];
  openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', ...subject);
  let issued = 0;
  const issue = (name: string): KeyPair => {
    const base = `${issued++}`;
    writeFileSync(file(`${base}.ext`), `subjectAltName=${name}\n`);
    const request = ['-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${base}`];
    openssl('req', ...NEW_KEY, ...request);
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1'];
    const files = ['-in', `${base}.csr`, '-out', `${base}.pem`, '-extfile', `${base}.ext`];
    openssl('x509', '-req', ...files, ...signed);
    return { cert: file(`${base}.pem`), key: file(`${base}.key`) };
  };
  return { ca: file('ca.pem'), issue };
}
