/** The menu behind the status bar item. */

import * as vscode from "vscode";
import { CLEAR_CACHES, EXPLAIN, STATS } from "./reports";
import type { Status } from "./status";

interface Entry extends vscode.QuickPickItem {
  command?: string;
}

export interface Situation {
  status: Status;
  paused: boolean;
  language: string | undefined;
  languageIsOff: boolean;
  /** The commands that the running server offers. */
  offered: readonly string[];
}

export async function showMenu(situation: Situation): Promise<void> {
  const { state, reason, message } = situation.status;
  const title = ["flash-lsp", state, reason, message].filter(Boolean).join(" · ");
  const chosen = await vscode.window.showQuickPick(entries(situation), { title, placeHolder: "What to do" });
  if (chosen?.command) await vscode.commands.executeCommand(chosen.command);
}

function entries({ status, paused, language, languageIsOff, offered }: Situation): Entry[] {
  const missing: Entry[] = [
    { label: "$(cloud-download) Set up the server", command: "flash-lsp.setUp" },
    { label: "$(file-binary) Choose an installed server…", command: "flash-lsp.chooseServer" },
  ];
  const pause: Entry[] = paused
    ? [{ label: "$(debug-continue) Resume", command: "flash-lsp.resume" }]
    : [
        { label: "$(debug-pause) Pause", command: "flash-lsp.pause" },
        { label: "$(clock) Snooze…", command: "flash-lsp.snooze" },
      ];
  const ofLanguage: Entry[] = language
    ? [{ label: `$(code) Turn ${languageIsOff ? "on" : "off"} for ${language}`, command: "flash-lsp.toggleLanguage" }]
    : [];
  const ifOffered = (name: string, entry: Entry): Entry[] => (offered.includes(name) ? [entry] : []);
  return [
    ...(status.state === "missing" ? missing : pause),
    ...ofLanguage,
    ...ifOffered(EXPLAIN, { label: "$(question) Why was nothing suggested?", command: "flash-lsp.explainSilence" }),
    { label: "$(symbol-misc) Choose the model…", command: "flash-lsp.chooseModel" },
    { kind: vscode.QuickPickItemKind.Separator, label: "Server" },
    { label: "$(debug-restart) Restart the server", command: "flash-lsp.restart" },
    { label: "$(output) Show output", command: "flash-lsp.showOutput" },
    ...ifOffered(STATS, { label: "$(graph) Statistics", command: "flash-lsp.showStatistics" }),
    ...ifOffered(CLEAR_CACHES, { label: "$(clear-all) Clear caches", command: "flash-lsp.clearCaches" }),
    { label: "$(pulse) Doctor", command: "flash-lsp.doctor" },
    { label: "$(gear) Settings", command: "flash-lsp.openSettings" },
  ];
}
