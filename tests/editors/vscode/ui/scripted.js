// What a user does with suggestions and commands whose texts a script decides: see scripted_server.py.

const assert = require('node:assert/strict');
const { until } = require('./workbench');

exports['the other suggestions are shown in turn, and the one on show is accepted'] = async (workbench) => {
  const file = await workbench.edit('cycle.py', '# größe 🎈\n');
  await workbench.waitForStatus(/^zap /);
  await workbench.type('first');
  await workbench.ghostIs('_one');
  for (const [key, text] of [['Alt+]', '_two'], ['Alt+]', '_three'], ['Alt+]', '_one'], ['Alt+[', '_three']]) {
    await workbench.press(key);
    await workbench.ghostIs(text);
  }
  await workbench.shoot('cycling');
  await workbench.press('Tab');
  await workbench.saved(file, (text) => text === '# größe 🎈\nfirst_three');
};

exports['where one suggestion is shown, the key for others asks the server for them'] = async (workbench) => {
  await workbench.edit('more.py', '');
  await workbench.type('more');
  await workbench.ghostIs('_a');
  await workbench.press('Alt+]');
  await workbench.ghostIs('_b');
};

exports['a word and a line are accepted alone, and the rest stays'] = async (workbench) => {
  const file = await workbench.edit('parts.py', '');
  await workbench.type('def a');
  await workbench.ghostIs('dd(a, b):\n    return a + b');
  await workbench.press('Control+ArrowRight');
  await workbench.ghostIs('(a, b):\n    return a + b');
  await workbench.press('Control+Alt+ArrowRight');
  await workbench.saved(file, (text) => text.trimEnd() === 'def add(a, b):');
  const rest = await workbench.settledGhost();
  assert.ok(rest.endsWith('return a + b'), rest);
};

exports['flash-lsp/ready makes the editor ask again'] = async (workbench) => {
  await workbench.edit('ready.py', '');
  await workbench.type('short');
  await workbench.ghostIs('_a_and_more');
};

exports['the status bar gives the reason of a silence, and a command explains it'] = async (workbench) => {
  await workbench.edit('silence.py', '');
  await workbench.type('unsure');
  await workbench.waitForStatus(/^dash .*low-confidence/);
  await workbench.command('flash-lsp: Why Was Nothing Suggested?');
  await workbench.notified(/the model is not sure enough \(low-confidence\)/);
};

exports['the menu has an entry for everything'] = async (workbench) => {
  await workbench.edit('menu.py', '');
  await workbench.clickStatus();
  const wanted = ['Pause', 'Snooze', 'Turn off for python', 'Why was nothing suggested', 'Choose the model', 'Restart the server',
    'Show output', 'Statistics', 'Clear caches', 'Doctor', 'Settings'];
  for (const entry of wanted) await workbench.page.locator('.quick-input-list .monaco-list-row', { hasText: entry }).waitFor();
  await workbench.shoot('vscode-menu');
  await workbench.press('Escape');
};

exports['a snooze ends by itself, and the status bar says when'] = async (workbench) => {
  await workbench.command('flash-lsp: Snooze');
  await workbench.choose('5 minutes', '');
  await workbench.waitForStatus(/paused.*until \d+:\d+/s);
  await workbench.command('flash-lsp: Resume');
  await workbench.waitForStatus(/^(zap|dash) /);
};

exports['the walkthrough has its three steps'] = async (workbench) => {
  await workbench.command('Welcome: Open Walkthrough');
  await workbench.choose('Start with flash-lsp');
  for (const step of ['Set up the server', 'Write code', 'Know what it does']) {
    await workbench.page.locator('.getting-started-step', { hasText: step }).waitFor();
  }
  await workbench.shoot('walkthrough');
  assert.ok(await workbench.page.locator('.getting-started-step').count() >= 3);
};
