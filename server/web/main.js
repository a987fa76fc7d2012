/* main.js: puts the parts of the page into their places, and begins. */

import { store } from './store.js';
import * as service from './service.js';
import { mount as bars } from './bars.js';
import { mount as controls } from './controls.js';
import { begin, mount as editor } from './editor.js';
import { mount as exporting } from './export.js';
import { mount as heads } from './heads.js';
import { mount as history } from './history.js';
import { mount as inspect } from './inspect.js';
import { mount as legend } from './legend.js';
import { mount as lines } from './lines.js';
import { mount as matrix } from './matrix.js';
import { embedded } from './page_export.js';
import { start } from './share.js';
import { mount as status } from './status.js';
import { mount as steps } from './steps.js';
import { mount as strip } from './strip.js';
import { mount as table } from './table.js';
import { mount as tabs } from './tabs.js';
import { mount as title } from './title.js';
import { mount as whatif } from './whatif.js';

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
for (const [id, mount] of Object.entries(parts))
    mount(document.getElementById(id), store, file ? null : service);
if (file) {
    document.querySelectorAll('#editor, #status').forEach((element) => element.remove());
    document.querySelector('main').className = 'alone';
    store.set(file);
} else
    await begin(() => start(store, service));
