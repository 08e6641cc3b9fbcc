// Typing at 12 keys a second with suggestions accepted on the way: the file holds what was typed plus what was accepted.

const assert = require('node:assert/strict');

const BEFORE = '"""Inventory."""\n\n';
const BLOCKS = [
  `def report(items, top):
  t = 0
  lines = []
  seen = []
  for x in items:
    if x in seen:
      continue
    seen += [x]
    p = x.price
    if p < 0:
      raise ValueError
    t += p
    if t > top:
      break
    lines.append(`,
  `
  n = len(lines)
  if n == 0:
    return None
  m = t / n
  low = []
  high = []
  for x in items:
    if x.p < m:
      low += [x]
    else:
      high.append(`,
  `
  r = {}
  r["m"] = m
  if low:
    r["a"] = 1
  elif high:
    r["a"] = 2
  else:
    r["a"] = 3
  while n > 9:
    n -= 1
  r["n"] = n
  r["ü"] = "😀"
  r["t"] = t
  return`,
];

exports['a 40-line function at 12 keys a second'] = async (workbench) => {
  const file = await workbench.edit('inventory.py', BEFORE);
  await workbench.waitForStatus(/^zap /);
  let expected = BEFORE;
  let suggested = 0;
  for (const block of BLOCKS) {
    await workbench.type(block, 12);
    const ghost = await workbench.settledGhost(3000).catch(() => '');
    if (ghost) await workbench.press('Tab');
    suggested += Number(ghost !== '');
    expected += block + ghost;
    await workbench.saved(file, (text) => text === expected);
  }
  assert.ok(suggested > 0, 'something was suggested on the way');
  const everShown = (await workbench.ghosts()).filter(Boolean).length;
  assert.ok(everShown > suggested, 'suggestions were shown while typing, and typed over');
  await workbench.shoot('fast-typing');
};
