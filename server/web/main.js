/* main.js: puts the parts of the page into their places, and begins. */

import { store } from './store.js';
import * as service from './service.js';
import * as bars from './bars.js';
import * as controls from './controls.js';
import * as editor from './editor.js';
import * as exporting from './export.js';
import * as heads from './heads.js';
import * as history from './history.js';
import * as inspect from './inspect.js';
import * as legend from './legend.js';
import * as lines from './lines.js';
import * as matrix from './matrix.js';
import { embedded } from './page_export.js';
import { start } from './share.js';
import * as status from './status.js';
import * as steps from './steps.js';
import * as strip from './strip.js';
import * as table from './table.js';
import * as tabs from './tabs.js';
import * as title from './title.js';
import * as whatif from './whatif.js';

const file = embedded(); /* this page may be a file with a result in it: then there is no service */
const parts = { tabs, title, controls, matrix, heads, lines, text: strip, row: bars, table, steps, inspect, legend, history, whatif,
    export: exporting, ...file ? {} : { status, editor } };

function help() {
    const dialog = document.getElementById('help'), editing = 'input, textarea, select, dialog';
    document.getElementById('ask').addEventListener('click', () => dialog.showModal());
    document.addEventListener('keydown', (event) => {
        if (event.key === '?' && !event.target.closest(editing) && !event.ctrlKey && !event.altKey)
            dialog.showModal();
    });
    document.querySelector('.skip').addEventListener('click', (event) => {
        event.preventDefault(); /* the address says what is looked at, and nothing else */
        document.getElementById('result').focus();
    });
}

help();
for (const [id, part] of Object.entries(parts))
    part.mount(document.getElementById(id), store, file ? null : service);
if (file) {
    document.querySelectorAll('#editor, #status').forEach((element) => element.remove());
    document.querySelector('main').className = 'alone';
    store.set(file);
} else
    await editor.begin(() => start(store, service));
