/** The section `flash-lsp` of the user's settings, and which part of it the server gets. */

import * as vscode from "vscode";

export const SECTION = "flash-lsp";

/** Settings that the server takes up while it runs, by the names that it knows. */
const LIVE = ["enabled", "disabledLanguages", "deadlineMs", "holdMs", "maxLines", "maxTokens", "maxFileKb", "decodeAhead"];
/** Settings of the server that hold from its start. */
const AT_START = ["model", "device", "threads"];

export function get<T>(name: string, fallback: T): T {
  return vscode.workspace.getConfiguration(SECTION).get<T>(name) ?? fallback;
}

/** Writes a setting where it takes effect: in the workspace if it is set there, else for the user. */
export async function set(name: string, value: unknown): Promise<void> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const inWorkspace = section.inspect(name)?.workspaceValue !== undefined;
  await section.update(name, value, inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global);
}

/** The settings as the server gets them; while suggestions are paused, they are off for it. */
export function forServer(paused: boolean): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const name of [...LIVE, ...AT_START]) values[name] = get<unknown>(name, null);
  if (paused) values.enabled = false;
  return values;
}

export function needsRestart(change: vscode.ConfigurationChangeEvent): boolean {
  return ["serverCommand", ...AT_START].some((name) => change.affectsConfiguration(`${SECTION}.${name}`));
}
