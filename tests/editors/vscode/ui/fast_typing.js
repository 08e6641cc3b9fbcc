// Typing at 12 keys a second with suggestions accepted on the way: the file holds what was typed plus what was accepted.

const assert = require('node:assert/strict');

const BEFORE = '"""Inventory."""\n\n';
const BLOCKS = [
  `def report(items, limit):
    total = 0
    lines = []
    seen = set()
    for item in items:
        if item.name in seen:
            continue
        seen.add(item.name)
        price = item.price
        if price < 0:
            raise ValueError("price")
        total += price
        if total > limit:
            break
        lines.append(`,
  `
    count = len(lines)
    if count == 0:
        return None
    mean = total / count
    low = []
    high = []
    for item in items:
        if item.price < mean:
            low.append(item)
        else:
            high.append(item)
    result = {}
    result["low"] =`,
  `
    result["high"] = len(high)
    result["mean"] = mean
    if len(low) > len(high):
        result["skew"] = "left"
    elif len(low) < len(high):
        result["skew"] = "right"
    else:
        result["skew"] = "none"
    while len(lines) > 10:
        lines.pop()
    result["lines"] = lines
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
