/** The section `flash-lsp` of the user's settings, and which part of it the server gets. */

import * as vscode from "vscode";

export const SECTION = "flash-lsp";

const LIVE = ["enabled", "disabledLanguages", "deadlineMs", "holdMs", "maxLines", "maxTokens", "maxFileKb", "decodeAhead"];
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

/** The settings that the server takes up while it runs. */
export function live(): Record<string, unknown> {
  return Object.fromEntries(LIVE.map((name) => [name, get<unknown>(name, null)]));
}

/** The settings that hold from the server's start. */
export function atStart(): Record<string, unknown> {
  return Object.fromEntries(AT_START.map((name) => [name, get<unknown>(name, null)]));
}

export function needsRestart(change: vscode.ConfigurationChangeEvent): boolean {
  return ["serverCommand", ...AT_START].some((name) => change.affectsConfiguration(`${SECTION}.${name}`));
}
