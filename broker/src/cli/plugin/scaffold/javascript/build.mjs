// Builds dist/plugin.wasm: npm install && npm run build
//
// A world and the contract it includes must lie in one folder, so both are gathered first.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { componentize } from '@bytecodealliance/componentize-js';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;

rmSync(at('dist'), { recursive: true, force: true });
mkdirSync(at('dist/wit/deps'), { recursive: true });
cpSync(at('world.wit'), at('dist/wit/world.wit'));
cpSync(at('jackfield/wit'), at('dist/wit/deps/jackfield-plugin'), { recursive: true });

// Without WASI: the component imports only the broker's interfaces.
const { component } = await componentize(readFileSync(at('plugin.js'), 'utf8'), {
  witPath: at('dist/wit'),
  worldName: 'plugin',
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
writeFileSync(at('dist/plugin.wasm'), component);
