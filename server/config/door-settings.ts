import { Type } from 'typebox';
import { extra } from '../../engine/setting-schema.js';

/** A file that is named, or not. */
const file = (description: string) =>
  Type.Optional(
    Type.String({
      ...extra({ description, group: 'HTTP', scope: 'server', value: 'file' }),
      minLength: 1,
    }),
  );

/** Settings of the ways into the server: encrypted, through a socket of the system, by key. */
export const DOOR_SETTINGS = {
  uds: Type.Optional(
    Type.String({
      ...extra({
        description: 'Unix socket to listen on, instead of --host and --port (default: none)',
        group: 'HTTP',
        scope: 'server',
        value: 'path',
      }),
      minLength: 1,
    }),
  ),
  sslCertfile: file(
    'certificate in PEM form, with those between it and its root: serves HTTPS (default: HTTP)',
  ),
  sslKeyfile: file("the certificate's private key in PEM form, not encrypted (default: none)"),
  sslCaCerts: file(
    'authorities in PEM form: a client must have a certificate of one of them (default: none asked for)',
  ),
  rootPath: Type.Optional(
    Type.String({
      ...extra({
        description: 'path that a proxy serves the API below, such as /llm (default: none)',
        group: 'HTTP',
        scope: 'server',
        value: 'path',
        allowed: 'a path such as /llm: a slash first, none at its end',
      }),
      pattern: '^(/[\\w.~-]+)+$',
    }),
  ),
  allowedOrigins: Type.Array(Type.String({ pattern: '^(\\*|[a-z][a-z\\d+.-]*://[^/\\s*]+)$' }), {
    ...extra({
      description:
        'site whose pages may call the API from a browser (CORS), repeatable; *: any (default: none)',
      group: 'HTTP',
      scope: 'server',
      value: 'origin',
      allowed: '* or an origin such as https://app.example:8443, without a path',
    }),
    default: [],
  }),
  keysFile: file(
    'YAML file of keys with names, scopes and limits, made by octavo keys, read again when it changes (default: none)',
  ),
  usageFile: file(
    'file in which the usage of each key is kept across restarts (default: in memory only)',
  ),
};
