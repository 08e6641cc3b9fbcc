// What a user does and sees: each function gets the workbench and throws when something is not as it should be.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { until } = require('./workbench');

const READY = /^zap .*Ready/s;
const START = '"""Arithmetic."""\n\n\ndef add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n';

const SHAPES = `"""Shapes."""
import math


class Circle:
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return math.pi * self.radius ** 2


class Square:
    def __init__(self, side):
        self.side = side

`;

/** Whether `text` is `before` with all of, or more than, `ghost` behind it. */
const accepted = (before, ghost) => (text) => text.startsWith(before + ghost);

exports['ghost text appears and Tab accepts it'] = async (workbench) => {
  const file = await workbench.edit('arithmetic.py', START);
  await workbench.waitForStatus(READY);
  await workbench.type('    return');
  const ghost = await workbench.settledGhost();
  assert.ok(ghost.trim(), 'a suggestion with text');
  await workbench.shoot('ghost');
  await workbench.press('Tab');
  await workbench.saved(file, accepted(`${START}    return`, ghost));
  await workbench.shoot('accepted');
};

exports['the status bar went from starting through loading to ready'] = async (workbench) => {
  const history = (await workbench.statusHistory()).join('\n');
  assert.match(history, /starting[^]*loading[^]*Ready/);
};

exports['the next word is accepted alone'] = async (workbench) => {
  const before = `${START}    return a - b\n\n\ndef multiply(a, b):\n`;
  const file = await workbench.edit('words.py', before);
  await workbench.type('    ret');
  const ghost = await workbench.settledGhost();
  await workbench.press('Control+ArrowRight');
  const text = await workbench.saved(file, (text) => text !== before && text.length > before.length + '    ret'.length);
  const word = text.slice(before.length + '    ret'.length);
  assert.ok(ghost.startsWith(word), `${word} begins ${ghost}`);
  assert.ok(word.length < ghost.length, `${word} is not all of ${ghost}`);
  await until(async () => (await workbench.ghost()) !== '', () => 'the rest is no longer shown');
};

exports['Escape dismisses'] = async (workbench) => {
  const file = await workbench.edit('escape.py', START);
  await workbench.type('    return');
  await workbench.settledGhost();
  await workbench.press('Escape');
  await workbench.noGhost();
  assert.equal(await workbench.saved(file, (text) => text !== START), `${START}    return`);
};

exports['typing what is suggested keeps the rest'] = async (workbench) => {
  await workbench.edit('through.py', START);
  await workbench.type('    return');
  const ghost = await workbench.settledGhost();
  const head = ghost.slice(0, 2);
  await workbench.type(head);
  const rest = await workbench.settledGhost();
  assert.ok(rest.startsWith(ghost.slice(2)), `${JSON.stringify(rest)} begins with what is left of ${JSON.stringify(ghost)}`);
};

exports['a line with letters outside ASCII'] = async (workbench) => {
  const before = 'größe = {"α": 1, "𝒳": 2}  # naïve 日本語\n\n\ndef add(a, b):\n    """Größe? 😀"""\n';
  const file = await workbench.edit('unicode.py', before);
  await workbench.type('    return');
  const ghost = await workbench.settledGhost();
  await workbench.press('Tab');
  await workbench.saved(file, accepted(`${before}    return`, ghost));

  const line = 'text = "😀𝒳"; weekdays = ["Monday", ';
  const other = await workbench.edit('unicode_line.py', before);
  await workbench.type(line);
  const tail = await workbench.settledGhost();
  await workbench.press('Tab');
  await workbench.saved(other, accepted(before + line, tail));
};

exports['inside a line it stays silent and says so'] = async (workbench) => {
  await workbench.edit('silent.py', 'total = first + second + third');
  for (let i = 0; i < 8; i++) await workbench.press('ArrowLeft');
  await workbench.type(' x');
  await workbench.waitForStatus(/^dash /);
  assert.equal(await workbench.ghost(), '');
};

exports['pausing in the menu stops suggestions, resuming brings them back'] = async (workbench) => {
  await workbench.edit('pause.py', START);
  await workbench.clickStatus();
  await workbench.shoot('menu');
  await workbench.choose('Pause');
  await workbench.waitForStatus(/paused/);
  await workbench.page.locator('.editor-instance .view-lines').click();
  await workbench.press('Control+End');
  await workbench.type('    return');
  await workbench.page.waitForTimeout(1500);
  assert.equal(await workbench.ghost(), '');
  await workbench.shoot('paused');
  await workbench.command('flash-lsp: Resume');
  await workbench.waitForStatus(/^(zap|dash)/);
  await workbench.type(' ');
  await workbench.settledGhost();
};

exports['editor.inlineSuggest.enabled is respected'] = async (workbench) => {
  await workbench.edit('inline_suggest.py', START);
  await workbench.withSettings({ 'editor.inlineSuggest.enabled': false }, async () => {
    await workbench.waitForStatus(/inlineSuggest\.enabled is off/);
    await workbench.type('    return');
    await workbench.page.waitForTimeout(1500);
    assert.equal(await workbench.ghost(), '');
  });
  await workbench.waitForStatus(/^(zap|dash)/);
};

exports['a longer text takes the place of a shorter one, which stays visible'] = async (workbench) => {
  await workbench.edit('shapes.py', SHAPES);
  await workbench.withSettings({ 'flash-lsp.deadlineMs': 1, 'flash-lsp.decodeAhead': false }, async () => {
    await workbench.page.waitForTimeout(1000);
    await workbench.type('    def area(self)');
    await workbench.settledGhost();
    await workbench.forgetGhosts();
    await workbench.press(':');
    await workbench.settledGhost();
    const shown = (await workbench.ghosts()).filter((ghost) => ghost.startsWith('\n'));
    assert.ok(shown.length > 1, `more than one text was shown: ${JSON.stringify(shown)}`);
    for (let i = 1; i < shown.length; i++) assert.ok(shown[i].startsWith(shown[i - 1]), JSON.stringify(shown));
    await workbench.press('Control+b');
    await workbench.shoot('vscode-ghost');
    await workbench.press('Control+b');
  });
};

exports['a server that crashes is started again'] = async (workbench) => {
  await workbench.edit('crash.py', START);
  await workbench.waitForStatus(READY);
  const pid = fs.readFileSync(process.env.PID_FILE, 'utf8');
  process.kill(Number(pid), 'SIGKILL');
  await workbench.waitForStatus(/error/);
  await workbench.waitForStatus(READY);
  assert.notEqual(fs.readFileSync(process.env.PID_FILE, 'utf8'), pid);
  await workbench.type('    return');
  await workbench.settledGhost();
};

exports['statistics are shown'] = async (workbench) => {
  await workbench.command('flash-lsp: Show Statistics');
  await workbench.page.locator('.view-lines', { hasText: 'requests' }).waitFor();
};
