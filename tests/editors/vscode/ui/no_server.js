// The thin package where no server is installed: it says so, and starts one as soon as the settings name it.

const { until } = require('./workbench');

const REAL = JSON.parse(process.env.SERVER_COMMAND);

exports['it explains where a server was looked for'] = async (workbench) => {
  await workbench.waitForStatus(/^warning .*set up/);
  await workbench.notified(/no server.*\.venv.*PATH/);
};

exports['a program that does not exist is named'] = async (workbench) => {
  await workbench.withSettings({ 'flash-lsp.serverCommand': ['/nowhere/flash-lsp'] }, () =>
    workbench.waitForStatus(/\/nowhere\/flash-lsp .*is not a program/),
  );
};

exports['the server of the settings is started at once'] = async (workbench) => {
  await workbench.withSettings({ 'flash-lsp.serverCommand': REAL }, async () => {
    await workbench.waitForStatus(/^zap /);
    await workbench.edit('arithmetic.py', 'def subtract(a, b):\n');
    await workbench.type('    return');
    await until(() => workbench.ghost(), () => 'no ghost text');
  });
};
