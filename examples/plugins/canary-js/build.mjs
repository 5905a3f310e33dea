// Builds dist/canary.wasm: npm ci && npm run build
//
// A world and the contract it includes must lie in one folder, so both are gathered first.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, statSync } from 'node:fs';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;

rmSync(at('dist'), { recursive: true, force: true });
mkdirSync(at('dist/wit/deps'), { recursive: true });
cpSync(at('world.wit'), at('dist/wit/world.wit'));
cpSync(at('../../../wit'), at('dist/wit/deps/jackfield-plugin'), { recursive: true });

// QuickJS, without WASI and without async: the broker's hot hooks are synchronous.
const options = ['--backend', 'qjs', '--backend-qjs-stub-wasi', '--backend-qjs-disable-async'];
execFileSync(
  at('node_modules/.bin/jco'),
  ['componentize', at('canary.js'), '--wit', at('dist/wit'), '--world-name', 'canary', ...options, '--out', at('dist/canary.wasm')],
  { stdio: 'inherit' },
);
console.log(`dist/canary.wasm: ${statSync(at('dist/canary.wasm')).size} bytes`);
