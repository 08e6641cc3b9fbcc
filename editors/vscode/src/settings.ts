/** The section `flash-lsp` of the user's settings, and which part of it the server gets. */

import * as vscode from "vscode";

export const SECTION = "flash-lsp";

const EXTENSION = "flash-lsp.flash-lsp";
const OF_THE_CLIENT = ["serverCommand", "trace.server"];

export function get<T>(name: string, fallback: T): T {
  return vscode.workspace.getConfiguration(SECTION).get<T>(name) ?? fallback;
}

/** Writes a setting where it takes effect: in the workspace if it is set there, else for the user. */
export async function set(name: string, value: unknown): Promise<void> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const inWorkspace = section.inspect(name)?.workspaceValue !== undefined;
  await section.update(name, value, inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global);
}

/** The server's settings: all that the extension declares but its own two. */
export function ofTheServer(): Record<string, unknown> {
  const { contributes } = vscode.extensions.getExtension(EXTENSION)?.packageJSON ?? {};
  const names = Object.keys(contributes?.configuration.properties ?? {}).map((name) => name.slice(SECTION.length + 1));
  return Object.fromEntries(names.filter((name) => !OF_THE_CLIENT.includes(name)).map((name) => [name, get<unknown>(name, null)]));
}

export function needsRestart(change: vscode.ConfigurationChangeEvent): boolean {
  return change.affectsConfiguration(`${SECTION}.serverCommand`);
}
