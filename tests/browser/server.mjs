/* server.mjs: the real program, on a free port, for as long as a test file needs it. */

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');
export const BUILD = resolve(ROOT, process.env.BUILD ?? 'build');

/* The layer with words, one that looks nowhere in particular, and one whose heads share keys in groups. */
export const MODELS = ['--model', 'builtin:patterns', '--model', 'builtin:demo',
    '--model', 'grouped=init:embed_dim=128,num_heads=8,num_kv_heads=2,seed=3'];

const WAIT = 20000;

export class Server {
    /** @returns {Promise<Server>} that answers at `url` */
    static async start(flags = [], port = 0) {
        const program = process.env.ATTEND_SERVER ?? resolve(BUILD, 'attend-server');
        const child = spawn(program, ['--port', String(port), ...MODELS, ...flags],
            { stdio: ['ignore', 'ignore', 'pipe'], env: process.env });
        let said = '';
        const url = await new Promise((found, fail) => {
            const late = setTimeout(() => fail(new Error(`the server did not start: ${said}`)), WAIT);
            child.stderr.on('data', (text) => {
                said += text;
                const at = /listening on (http:\/\/\S+)/.exec(said)?.[1];
                if (at) {
                    clearTimeout(late);
                    found(at);
                }
            });
            child.once('error', fail);
            child.once('exit', (code) => fail(new Error(`the server ended with ${code}: ${said}`)));
        });
        return new Server(child, url);
    }

    constructor(child, url) {
        Object.assign(this, { child, url, port: Number(new URL(url).port) });
    }

    async stop() {
        if (this.child.exitCode !== null || this.child.signalCode !== null)
            return;
        const ended = new Promise((done) => this.child.once('exit', done));
        this.child.kill('SIGINT');
        const stuck = setTimeout(() => this.child.kill('SIGKILL'), WAIT);
        await ended;
        clearTimeout(stuck);
    }
}
