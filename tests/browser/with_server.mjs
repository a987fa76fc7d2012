/* with_server.mjs COMMAND...: runs a command while a server runs, whose address it finds in ATTEND_URL. */

import { spawn } from 'node:child_process';
import { Server } from './server.mjs';

const [program, ...words] = process.argv.slice(2), server = await Server.start();
const child = spawn(program, words, { stdio: 'inherit', env: { ...process.env, ATTEND_URL: server.url } });
const code = await new Promise((done) => child.once('exit', (status) => done(status ?? 1)));
await server.stop();
process.exit(code);
