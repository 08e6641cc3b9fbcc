// What a newcomer sees who has installed the full package and nothing else.

const assert = require('node:assert/strict');
const { until } = require('./workbench');

const START = '"""Arithmetic."""\n\n\ndef add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n';

exports['one click sets the server up, offline and with visible progress, and suggestions appear'] = async (workbench) => {
  await workbench.edit('arithmetic.py', START);
  await workbench.waitForStatus(/^warning .*set up/);
  await workbench.shoot('first-run-offer');
  await workbench.page.locator('.notification-toast a.monaco-button', { hasText: /^Set up$/ }).click();
  await workbench.waitForStatus(/installing [1-9]\d %/);
  await workbench.shoot('first-run-progress');
  await until(async () => /^zap /.test(await workbench.status()), () => workbench.status(), 90_000);
  await workbench.page.locator('.editor-instance .view-lines').click();
  await workbench.press('Control+End');
  await workbench.type('    return');
  assert.ok((await workbench.settledGhost()).trim());
  await workbench.shoot('first-run-ghost');
};
