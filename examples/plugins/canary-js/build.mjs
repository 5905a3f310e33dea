// Builds dist/canary.wasm: npm ci && npm run build
//
// A world and the contract it includes must lie in one folder, so both are gathered first.
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { componentize } from '@bytecodealliance/componentize-js';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;

rmSync(at('dist'), { recursive: true, force: true });
mkdirSync(at('dist/wit/deps'), { recursive: true });
cpSync(at('world.wit'), at('dist/wit/world.wit'));
cpSync(at('../../../wit'), at('dist/wit/deps/jackfield-plugin'), { recursive: true });

// StarlingMonkey without WASI: the component imports only the broker's interfaces.
const { component } = await componentize(readFileSync(at('canary.js'), 'utf8'), {
  witPath: at('dist/wit'),
  worldName: 'canary',
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
writeFileSync(at('dist/canary.wasm'), component);
console.log(`dist/canary.wasm: ${statSync(at('dist/canary.wasm')).size} bytes`);
